"""Tokens, permissions and rate limits, the same for both APIs."""
