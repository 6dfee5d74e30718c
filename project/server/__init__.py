"""How the service is served: gunicorn's configuration and request bodies."""
