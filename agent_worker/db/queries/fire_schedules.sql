-- Do what was decided for schedules, as far as they are as they were seen. Index: primary key.
SELECT schedule, slot, task_id, refused
FROM agent_worker.fire_schedules(
  %(names)s::text[], %(crons)s::text[], %(timezones)s::text[], %(seen)s::timestamptz[],
  %(slots)s::timestamptz[], %(next)s::timestamptz[], %(errors)s::text[]
)
