-- A message that nobody will ever see, for a caller to try its hand on: fails with 42501 where it may not. Locks: none.
INSERT INTO realtime.messages (topic, extension) VALUES (%(topic)s, %(extension)s)
