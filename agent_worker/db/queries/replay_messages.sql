-- The newest broadcasts of a private topic, newest first. Index: messages_inserted_at_idx; on Supabase, the partitions of
-- the days in question. Locks: none.
SELECT id::text, event, payload::text
FROM realtime.messages
WHERE topic = %(topic)s AND private AND extension = 'broadcast' AND event IS NOT NULL AND payload IS NOT NULL
  AND inserted_at >= to_timestamp(%(since_ms)s::double precision / 1000) AT TIME ZONE 'utc'
ORDER BY inserted_at DESC
LIMIT %(limit)s
