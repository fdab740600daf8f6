"""Tell a run from its stored events: to clients of the protocol as legs, to people as a tree of steps."""
