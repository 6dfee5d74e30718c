"""The command ``manage.py print_schema``."""
