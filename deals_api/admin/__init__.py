"""The Django admin for uploads and their rows."""
