-- Insert a run of a pipeline, unless a task has this id. Index: primary key. Locks: none that others wait for.
INSERT INTO public.agent_task_requests (id, kind, request_payload)
VALUES (%(id)s, 'pipeline', %(payload)s::text::jsonb)
ON CONFLICT (id) DO NOTHING
RETURNING id
