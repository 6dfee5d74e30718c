"""Middleware: security headers, and sessions for the admin only."""
