-- The next piece of history, oldest first: the tasks in it that are wanted, each row with the end of the piece, where
-- the next one begins. One row without a task when none is wanted; none when history ends.
-- Index: agent_task_requests_finished_idx; at most %(piece)s rows of it.
WITH piece AS (
  SELECT t.id, t.kind, t.finished_at, t.status = %(status)s AS is_wanted,
         CASE WHEN t.status = %(status)s AND t.status <> 'completed' THEN t.response_payload ->> 'code' END AS code
  FROM public.agent_task_requests t
  WHERE t.finished_at IS NOT NULL
    AND t.finished_at >= coalesce(%(after_at)s::timestamptz, '-infinity') AND t.finished_at <= %(until)s
    AND (t.finished_at, t.id) > (coalesce(%(after_at)s::timestamptz, '-infinity'), %(after_id)s::uuid)
  ORDER BY t.finished_at, t.id
  LIMIT %(piece)s
),
piece_end AS (
  SELECT finished_at, id FROM piece ORDER BY finished_at DESC, id DESC LIMIT 1
)
SELECT piece.id, piece.kind, piece.code, piece_end.finished_at, piece_end.id
FROM piece_end
LEFT JOIN piece
  ON piece.is_wanted
  AND (%(kind)s::text IS NULL OR piece.kind = %(kind)s)
  AND (%(code)s::text IS NULL OR piece.code = %(code)s)
ORDER BY piece.finished_at, piece.id
