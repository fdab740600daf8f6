-- What a caller sees of these messages. Index: realtime.messages_pkey, or its partitions' of today. Locks: none.
SELECT extension FROM realtime.messages WHERE id = ANY(%(ids)s) AND topic = %(topic)s
