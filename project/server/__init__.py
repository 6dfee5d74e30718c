"""The HTTP server: configuration of gunicorn, and request bodies."""
