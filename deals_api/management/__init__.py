"""The commands ``manage.py load_deals`` and ``manage.py top_clients``."""
