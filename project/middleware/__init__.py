"""Middleware: host names, security headers, static files and admin sessions."""
