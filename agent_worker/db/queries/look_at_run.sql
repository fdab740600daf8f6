-- How a run of a stored pipeline stands. Index: primary key; agent_task_events_pkey, read backwards.
SELECT t.status, t.request_payload ->> 'agent', t.request_payload -> 'version', t.response_payload,
       coalesce((SELECT max(e.seq) FROM public.agent_task_events e WHERE e.task_id = t.id), 0)
FROM public.agent_task_requests t
WHERE t.id = %(id)s AND t.kind = 'pipeline'
