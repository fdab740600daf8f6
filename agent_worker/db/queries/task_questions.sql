-- Everything a task ever asked, in order. Index: human_tasks_task_id_key_key.
SELECT id, task_id, key, type, title, description, form, context, priority, status, assignee, user_id, response,
       responded_by, expires_at, created_at, responded_at
FROM public.human_tasks
WHERE task_id = %(task_id)s
ORDER BY created_at, key
