"""Django's database backend for PostgreSQL, adapted to connection poolers and failover."""
