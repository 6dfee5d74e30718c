"""The web service: settings, URLs, health checks, and what surrounds both APIs."""

__version__ = "1.1.0"
