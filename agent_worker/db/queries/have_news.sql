-- Which of the followed tasks have said more than their followers have seen, or have ended, or are gone.
-- Index: agent_task_events_pkey, primary key; a look-up or two for each.
SELECT followed.id::text
FROM unnest(%(ids)s::uuid[], %(seqs)s::integer[]) AS followed (id, seq)
WHERE NOT EXISTS (
    SELECT 1 FROM public.agent_task_requests t
    WHERE t.id = followed.id AND t.status IN ('pending', 'processing', 'waiting')
  )
  OR EXISTS (
    SELECT 1 FROM public.agent_task_events e WHERE e.task_id = followed.id AND e.seq > followed.seq
  )
