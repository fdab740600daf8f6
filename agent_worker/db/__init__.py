"""The only room that opens connections or holds SQL.

State moves in SQL functions (`migrations/`); each file in `queries/` is one statement, named after the method that
runs it. Errors of the driver leave this room as `DatabaseUnavailable` or `SchemaOutOfDate`.
"""
