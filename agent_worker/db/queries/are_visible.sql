-- Whether statements see what these transactions wrote. Given are the lower 32 bits of their numbers, as the log has them;
-- the upper ones are those of the nearest number to the next one that will be given out.
SELECT coalesce(bool_and(pg_visible_in_snapshot(
         (n.next + ((x.xid - n.next + 2147483648) & 4294967295) - 2147483648)::text::xid8, n.snapshot
       )), true)
FROM (
  SELECT s.snapshot, pg_snapshot_xmax(s.snapshot)::text::bigint AS next
  FROM (SELECT pg_current_snapshot() AS snapshot) s
) n
CROSS JOIN unnest(%(xids)s::bigint[]) AS x (xid)
