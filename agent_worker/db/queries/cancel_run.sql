-- Ask for a stop; the trigger ends what nobody runs, and leaves what has ended as it is. Index: primary key.
UPDATE public.agent_task_requests
SET cancel_requested_at = now()
WHERE id = %(id)s AND kind = 'pipeline'
RETURNING status
