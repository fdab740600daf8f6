-- What followed runs have said, for all who follow runs through one gateway in one statement: a statement for each of them,
-- at each event, took the gateway more time than all the rest. Each look has the rights of whoever follows: row level
-- security decides what is there. Index: primary key; agent_task_events_pkey.
--
-- p_counts has for each caller of p_roles and p_claims the number of looks that are its; the looks stand in this order.
-- A look returns how its run stands with each event after p_after_seqs, at most p_limit, and one row without an event when
-- there is none. Of what lies before the cursor, pieces of texts are left out: whoever reads on from there needs to know what
-- is open, not what was said. A look that finds no run returns nothing. A caller whose policies raise an error sees
-- nothing, which a row without a status tells; the others are not harmed.
create function agent_worker.follow_runs(
  p_roles text[], p_claims text[], p_counts integer[],
  p_ids uuid[], p_after_seqs integer[], p_cursors bigint[], p_limit integer
) returns table (
  look integer, status text, seq integer, type text, data jsonb, attempt integer, created_at timestamptz
)
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_first integer;
  v_last integer := 0;
begin
  -- What policies call may rely on the path that requests have, and may not write.
  perform pg_catalog.set_config('search_path', 'public, extensions', true),
    pg_catalog.set_config('transaction_read_only', 'on', true);
  for i in 1 .. pg_catalog.cardinality(p_roles) loop
    v_first := v_last + 1;
    v_last := v_last + p_counts[i];
    begin
      perform pg_catalog.set_config('request.jwt.claims', p_claims[i], true),
        pg_catalog.set_config('role', p_roles[i], true);
      return query
        select v_first - 1 + l.place::integer, t.status, e.seq, e.type, e.data, e.attempt, e.created_at
        from unnest(p_ids[v_first:v_last], p_after_seqs[v_first:v_last], p_cursors[v_first:v_last])
          with ordinality as l (id, after_seq, seen_seq, place)
        -- Always looked up by the key: a join of a few rows may read the whole table.
        cross join lateral (
          select r.status from public.agent_task_requests r where r.id = l.id and r.kind = 'pipeline' offset 0
        ) t
        left join lateral (
          select x.seq, x.type, x.data, x.attempt, x.created_at
          from public.agent_task_events x
          where x.task_id = l.id and x.seq > l.after_seq and (x.seq > l.seen_seq or x.type not like '%-delta')
          order by x.seq
          limit p_limit
        ) e on true
        order by l.place, e.seq;
      perform pg_catalog.set_config('role', 'none', true);
    exception when others then  -- takes the role back as well
      raise log 'agent_worker.follow_runs: %', sqlerrm;
      return query select n, null::text, null::integer, null::text, null::jsonb, null::integer, null::timestamptz
        from pg_catalog.generate_series(v_first, v_last) n;
    end;
  end loop;
end
$$;

revoke all on function agent_worker.follow_runs(text[], text[], integer[], uuid[], integer[], bigint[], integer)
  from public, anon, authenticated, service_role;
