"""Middleware: security headers and admin sessions."""
