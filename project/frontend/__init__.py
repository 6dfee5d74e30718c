"""The web page, a client of both APIs."""
