"""Measure agent-worker beside other PostgreSQL queues, on one machine and one server. See README.md."""
