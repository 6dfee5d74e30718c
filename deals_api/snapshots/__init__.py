"""Which snapshot is current, how long old ones are retained, and why no read is stale."""
