import { type ReactElement, useCallback, useMemo } from 'react';
import { type Activity, type Quantiles, readActivity } from '../data/fleet';
import { readEnded } from '../data/tasks';
import { fillMinutes, minutesOfTasks, startOfMinute } from '../model/activity';
import { hourAndMinute, precise } from '../model/format';
import { momentOf, type Search } from '../model/qualifiers';
import { Chart } from '../ui/Chart';
import { useNow, usePolled } from '../ui/hooks';
import { useProject } from '../ui/project';

const MINUTES = 60;
const EVERY_MS = 5000;

/** The last hour of the fleet, or of a user's own tasks; what is chosen on it becomes the time of the search. */
export function FleetChart({ search, onSearch }: { search: Search; onSearch: (search: Search) => void }): ReactElement {
  const { supabase, isOperator } = useProject();
  const now = useNow(EVERY_MS);
  const { kind } = search;
  const { data } = usePolled(
    useCallback(async (): Promise<Activity> => {
      if (isOperator) return readActivity(supabase, MINUTES, kind);
      const ended = await readEnded(supabase, Date.now() - MINUTES * 60_000, kind);
      return { minutes: minutesOfTasks(ended), waitedS: UNKNOWN, ranS: UNKNOWN };
    }, [supabase, isOperator, kind]),
    EVERY_MS,
  );
  const minute = startOfMinute(now);
  const minutes = useMemo(() => data && fillMinutes(data.minutes, MINUTES, minute), [data, minute]);
  const since = search.since === undefined ? null : momentOf(search.since, now);
  const until = search.until === undefined ? null : momentOf(search.until, now);
  const onRange = (range: readonly [number, number] | null) => {
    const { since: _since, until: _until, ...rest } = search;
    onSearch(range === null ? rest : { ...rest, since: timeOf(range[0], now), until: timeOf(range[1], now) });
  };
  return (
    <Chart
      minutes={minutes}
      range={since === null && until === null ? null : [since ?? minute - (MINUTES - 1) * 60_000, until ?? now]}
      onRange={onRange}
      note={data ? [quantiles('waited', data.waitedS), quantiles('ran', data.ranS)].filter(Boolean).join(' · ') : ''}
    />
  );
}

const UNKNOWN: Quantiles = { p50: null, p95: null };

function quantiles(word: string, { p50, p95 }: Quantiles): string {
  return p50 === null || p95 === null ? '' : `${word} p50 ${precise(p50)}, p95 ${precise(p95)}`;
}

/** As short as it is clear: a time of today needs no date. */
function timeOf(at: number, now: number): string {
  const isToday = new Date(at).toDateString() === new Date(now).toDateString();
  return isToday ? hourAndMinute(at) : new Date(at).toISOString();
}
