"""Requests that nobody would write by hand, made from what the service says of itself."""
