"""Request telemetry: request ids, access log, metrics and traces."""
