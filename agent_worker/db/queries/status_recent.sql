-- What ended in the last hour, or as far back as the newest %(look_back)s tasks reach: a busy fleet ends millions in an
-- hour. Index: agent_task_requests_finished_idx backwards.
WITH recent AS MATERIALIZED (
  SELECT t.status, t.finished_at,
         CASE WHEN t.status = 'failed' THEN t.response_payload ->> 'code' END AS code
  FROM public.agent_task_requests t
  WHERE t.finished_at IS NOT NULL AND t.finished_at > now() - interval '1 hour'
  ORDER BY t.finished_at DESC
  LIMIT %(look_back)s
)
SELECT
  CASE WHEN count(*) < %(look_back)s THEN 3600.0
       ELSE extract(epoch FROM now() - min(finished_at)) END::double precision,
  count(*) FILTER (WHERE status = 'completed'),
  count(*) FILTER (WHERE status = 'failed'),
  count(*) FILTER (WHERE status = 'cancelled'),
  count(*) FILTER (WHERE status = 'completed' AND finished_at > now() - interval '1 minute'),
  mode() WITHIN GROUP (ORDER BY code) FILTER (WHERE code IS NOT NULL)
FROM recent
