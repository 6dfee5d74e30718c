"""The current snapshot and its lease, roll-backs, retention, interrupted uploads, and reads on replicas."""
