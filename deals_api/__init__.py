"""Uploads and deals: tables, limits, errors, and everything that the two APIs share."""
