"""The queues that take part, one per file."""
