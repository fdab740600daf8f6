-- What was committed since the last round, in whole transactions, until %(limit)s rows are reached.
SELECT data
FROM pg_logical_slot_get_binary_changes(
  %(slot)s, NULL, %(limit)s, 'proto_version', '1', 'publication_names', %(publications)s
)
