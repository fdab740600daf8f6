-- Close questions whose time is up. Index: human_tasks_expires_idx.
SELECT agent_worker.expire_questions(%(limit)s::integer)
