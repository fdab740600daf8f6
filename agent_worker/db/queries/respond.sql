-- Answer with the rights that every user has, to set a response and nothing else; who it was is noted by the table.
-- Index: primary key.
UPDATE public.human_tasks SET response = %(response)s::text::jsonb WHERE id = %(id)s RETURNING id
