"""What strangers may ask of tables and functions: a query as data, made into SQL and run with their rights.

Names are looked up in the catalog and quoted, values are bound, and rows are judged by PostgreSQL's own policies. This
room knows no HTTP; its callers know no SQL.
"""
