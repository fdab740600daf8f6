-- Answer; the same answer twice changes nothing, another one after the first is refused. Index: primary key.
UPDATE public.human_tasks
SET response = %(response)s::text::jsonb, responded_by = coalesce(responded_by, %(responded_by)s)
WHERE id = %(id)s
RETURNING id, task_id, key, type, title, description, form, context, priority, status, assignee, user_id, response,
          responded_by, expires_at, created_at, responded_at
