"""Response cache: in the process, and shared through Redis."""
