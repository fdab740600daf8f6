"""The only room that opens connections or holds SQL.

State moves in SQL functions (`migrations/`); each file in `queries/` is one statement, named after the method that
runs it. Workers reach them by a PostgreSQL connection or by a Supabase project's HTTP API (`link.py`). Errors leave this
room as `DatabaseUnavailable`, `SchemaOutOfDate`, `ConfigurationError` or `ValueRefused`.
"""
