-- Ids that begin with the digits typed, as a range. Index: primary key.
SELECT id
FROM public.human_tasks
WHERE id BETWEEN %(first)s AND %(last)s
ORDER BY id
LIMIT %(limit)s
