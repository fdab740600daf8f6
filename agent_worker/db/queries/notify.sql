-- Send a notification.
SELECT pg_notify(%(channel)s, %(payload)s)
