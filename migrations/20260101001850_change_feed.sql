-- Row level security for the change feed: who among many callers may see which of the rows that have just changed?
--
-- One call asks for all of them, because a round trip for each of 1,000 sockets would take a fifth of a second. Each
-- caller's turn is as on the way over HTTP: its role, its claims and the usual search path, then a plain select by
-- primary key, so that the policies decide and nothing else. They decide about the row as it is now.
--
-- It runs with the rights of whoever calls, which has to be allowed to become the callers' roles: the gateway's own
-- connection. Nothing is granted; the settings of a turn end with it, and with the call at the latest.

-- p_columns and p_types name the primary key. p_keys has a text for each of its columns and the first caller, then for each
-- and the second, and so on: the text of an array, the values of that column in the rows that the caller asks for.
-- A caller whose policies raise an error sees nothing; the others are not harmed.
create function agent_worker.visible_rows(
  p_table oid, p_columns text[], p_types text[], p_roles text[], p_claims text[], p_keys text[]
) returns table (caller integer, positions integer[])
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_width constant integer := cardinality(p_columns);
  v_name constant text := 'agent_worker_see_' || p_table || '_' || md5(p_columns::text || p_types::text);
  v_call text;
begin
  -- Prepared once a session: planning would take longer than all the rest for a few callers.
  if not exists (select from pg_catalog.pg_prepared_statements s where s.name = v_name) then
    select format(
      'prepare %I (%s) as select array_agg(k.position::integer) from unnest(%s) with ordinality k (%s, position)'
      -- A scalar subquery, because it is always looked up by the key: a join of a few rows may read the whole table.
      || ' where (select true from %s t where %s)',
      v_name,
      string_agg(x.type || '[]', ', ' order by x.place),
      string_agg('$' || x.place, ', ' order by x.place),
      string_agg('k' || x.place, ', ' order by x.place),
      p_table::regclass,
      string_agg(format('t.%I = k.k%s', x.name, x.place), ' and ' order by x.place)
    )
    into strict v_call
    from unnest(p_columns, p_types) with ordinality x (name, type, place);
    execute v_call;
  end if;

  -- What policies call may rely on the path that requests have.
  perform pg_catalog.set_config('search_path', 'public, extensions', true);
  for i in 1 .. pg_catalog.cardinality(p_roles) loop
    caller := i;
    v_call := pg_catalog.quote_literal(p_keys[(i - 1) * v_width + 1]);
    for k in 2 .. v_width loop
      v_call := v_call || ', ' || pg_catalog.quote_literal(p_keys[(i - 1) * v_width + k]);
    end loop;
    begin
      perform pg_catalog.set_config('request.jwt.claims', p_claims[i], true),
        pg_catalog.set_config('role', p_roles[i], true);
      execute 'execute ' || v_name || ' (' || v_call || ')' into positions;
      perform pg_catalog.set_config('role', 'none', true);
    exception when others then  -- takes the role back as well
      raise log 'agent_worker.visible_rows: %', sqlerrm;
      positions := null;
    end;
    if positions is not null then
      return next;
    end if;
  end loop;
end
$$;

revoke all on function agent_worker.visible_rows(oid, text[], text[], text[], text[], text[])
  from public, anon, authenticated, service_role;

-- Where the server writes no logical log, triggers tell of changes instead: made by a gateway while it runs, one for each
-- published table, and dropped when the last gateway ends. A notification holds a key only, for it may not be longer than
-- 8,000 bytes; the row is read again. Made here, because nobody but the owner of the tables may make triggers.

-- TG_ARGV: the table that is published (a partition's parent may be), then the columns of its primary key.
create function agent_worker.tell_change() returns trigger
language plpgsql
set search_path = ''
set datestyle = 'ISO'
set timezone = 'UTC'
as $$
declare
  v_key text;
  v_new text[];
  v_old text[];
  v_payload text;
begin
  -- A key is never null. format writes values as the log does; a cast to text is another thing for some types.
  select 'array[' || coalesce(pg_catalog.string_agg(pg_catalog.format('pg_catalog.format(''%%s'', ($1).%I)', tg_argv[k]), ', '), '') || ']::text[]'
  into v_key
  from pg_catalog.generate_series(1, tg_nargs - 1) k;
  if tg_op <> 'DELETE' then
    execute 'select ' || v_key into v_new using new;
  end if;
  if tg_op <> 'INSERT' then
    execute 'select ' || v_key into v_old using old;
  end if;
  v_payload := pg_catalog.json_build_object(
    'table', tg_argv[0], 'kind', tg_op, 'new', v_new,
    'old', case when v_old is distinct from v_new then v_old end,
    'at', extract(epoch from pg_catalog.clock_timestamp())
  )::text;
  if octet_length(v_payload) < 8000 then  -- a longer one would fail the statement that made the change
    perform pg_catalog.pg_notify('agent_worker_changes', v_payload);
  end if;
  return null;
end
$$;

create function agent_worker.follow_changes(p_publications text[]) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_table record;
begin
  for v_table in
    select distinct on (c.oid) c.oid,
      pg_catalog.concat_ws(
        ' or ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
        case when p.pubdelete then 'delete' end
      ) as events,
      array(
        select pg_catalog.quote_literal(a.attname)
        from pg_catalog.pg_index i
        cross join lateral unnest(i.indkey) with ordinality as k (attnum, place)
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary
        order by k.place
      ) as key
    from pg_catalog.pg_publication p
    join pg_catalog.pg_publication_tables t on t.pubname = p.pubname
    join pg_catalog.pg_namespace n on n.nspname = t.schemaname
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
    where p.pubname = any (p_publications) and (p.pubinsert or p.pubupdate or p.pubdelete)
      and pg_catalog.pg_has_role(c.relowner, 'USAGE')  -- of others' tables nothing is told
      and not exists (
        select from pg_catalog.pg_trigger x where x.tgrelid = c.oid and x.tgname = 'agent_worker_change_feed'
      )
  loop
    execute pg_catalog.format(
      'create trigger agent_worker_change_feed after %s on %s for each row execute function agent_worker.tell_change(%s)',
      v_table.events, v_table.oid::regclass,
      pg_catalog.array_to_string(array[pg_catalog.quote_literal(v_table.oid::text)] || v_table.key, ', ')
    );
  end loop;
end
$$;

create function agent_worker.unfollow_changes() returns void
language plpgsql
set search_path = ''
as $$
declare
  v_table regclass;
begin
  for v_table in
    select t.tgrelid::regclass
    from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
    where t.tgname = 'agent_worker_change_feed' and t.tgparentid = 0
      and pg_catalog.pg_has_role(c.relowner, 'USAGE')
  loop
    execute pg_catalog.format('drop trigger if exists agent_worker_change_feed on %s', v_table);
  end loop;
end
$$;

revoke all on function agent_worker.tell_change(), agent_worker.follow_changes(text[]), agent_worker.unfollow_changes()
  from public, anon, authenticated, service_role;
