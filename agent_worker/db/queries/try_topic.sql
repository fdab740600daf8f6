-- Two messages that nobody will ever see, for a caller to try its eyes on. Index: none. Locks: none.
INSERT INTO realtime.messages (topic, extension)
VALUES (%(topic)s, 'broadcast'), (%(topic)s, 'presence')
RETURNING id, extension
