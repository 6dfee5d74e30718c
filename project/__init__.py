"""The web service: settings, URLs, server, middleware, telemetry, health checks and the web page."""

__version__ = "1.1.0"
