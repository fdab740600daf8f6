-- What a task did before this attempt: its last event. Index: agent_task_events_pkey, read backwards.
SELECT agent_worker.last_event_seq(%(task_id)s)
