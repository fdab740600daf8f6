"""Tools that a worker runs itself: Python functions and HTTP endpoints, by name."""
