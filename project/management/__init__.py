"""The command ``manage.py serve``."""
