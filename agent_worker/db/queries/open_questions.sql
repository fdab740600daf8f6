-- Questions that wait for an answer, oldest first. Index: human_tasks_user_idx, human_tasks_assignee_idx.
SELECT id, task_id, key, type, title, description, form, context, priority, status, assignee, user_id, response,
       responded_by, expires_at, created_at, responded_at
FROM public.human_tasks
WHERE status = 'pending' AND (%(assignee)s::uuid IS NULL OR assignee = %(assignee)s)
ORDER BY created_at
LIMIT %(limit)s
