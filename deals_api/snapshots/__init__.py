"""The current snapshot and its lease, roll-backs, retention, and interrupted uploads."""
