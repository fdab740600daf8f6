-- Whether a task asks for the same; the version is what was the newest when it was inserted. Index: primary key.
SELECT kind = 'pipeline' AND request_payload - 'version' = %(payload)s::text::jsonb - 'version'
FROM public.agent_task_requests
WHERE id = %(id)s
