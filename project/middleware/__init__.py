"""Middleware: host names, security headers and admin sessions."""
