"""The web service: settings, URLs, health checks, and what surrounds both APIs."""
