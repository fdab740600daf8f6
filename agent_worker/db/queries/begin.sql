-- Begin a transaction that the server ends when its client falls silent within it (a host without power, a cut network,
-- a stopped process): the rows it locks could otherwise not be rescued for as long as the server believes in the
-- connection, two hours as a rule. Both statements in one round trip. Locks: none.
BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'
