import { type ReactElement, useCallback, useEffect } from 'react';
import { fleetStatus } from '../data/fleet';
import { countOwn } from '../data/tasks';
import { atMost, type FleetStatus, headline } from '../model/fleet';
import { type Search, writeSearch } from '../model/qualifiers';
import { writeRoute } from '../model/route';
import { STATUSES, type Status } from '../model/task';
import { usePolled } from '../ui/hooks';
import { useProject } from '../ui/project';
import { StateMark } from '../ui/State';

const EVERY_MS = 3000;
/** A change is counted soon, many changes are counted once. */
const SOON_MS = 400;

interface Counted {
  readonly counts: Readonly<Record<Status, string>>;
  readonly fleet: FleetStatus | null;
}

/** The states with how many tasks each has, and in one sentence how the fleet stands. */
export function StateList({ search }: { search: Search }): ReactElement {
  const counted = useCounts();
  const only = search.statuses.length === 1 ? search.statuses[0] : null;
  const line = counted?.fleet ? headline(counted.fleet) : null;
  const item = (status: Status | null) => (
    <li key={status}>
      <a
        href={writeRoute({
          page: 'tasks',
          search: writeSearch({ ...search, statuses: status === null ? [] : [status] }),
        })}
        aria-current={(status === null ? search.statuses.length === 0 : status === only) || undefined}
      >
        {status === null ? <span className="mark-all" aria-hidden="true" /> : <StateMark status={status} />}
        <span>{status ?? 'all'}</span>
        <span className="number">{status === null ? '' : (counted?.counts[status] ?? '')}</span>
      </a>
    </li>
  );
  return (
    <aside className="states">
      <nav aria-label="States">
        <ul>
          {item(null)}
          {STATUSES.map(item)}
        </ul>
      </nav>
      <p className="hint">Ended tasks are those of the last hour.</p>
      {line && (
        <p className={`headline tone-${line.tone}`}>
          <b>{line.sentence}</b>
          {line.advice && <span>{line.advice}</span>}
        </p>
      )}
    </aside>
  );
}

function useCounts(): Counted | undefined {
  const { supabase, isOperator, feed } = useProject();
  const { data, reload } = usePolled(
    useCallback(async (): Promise<Counted> => {
      if (isOperator) {
        const fleet = await fleetStatus(supabase);
        return { counts: countsOf(fleet), fleet };
      }
      const own = await countOwn(supabase, Date.now());
      return { counts: mapStates((status) => atMost(own[status], Number.POSITIVE_INFINITY)), fleet: null };
    }, [supabase, isOperator]),
    isOperator ? EVERY_MS : EVERY_MS * 3,
  );
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const leave = feed.listen((event) => {
      if (event.type === 'question') return;
      timer ??= setTimeout(() => {
        timer = null;
        reload();
      }, SOON_MS);
    });
    return () => {
      leave();
      if (timer !== null) clearTimeout(timer);
    };
  }, [feed, reload]);
  return data;
}

function countsOf(fleet: FleetStatus): Readonly<Record<Status, string>> {
  const { counts, recent, counted_to } = fleet;
  const numbers = { ...counts, ...recent, pending: counts.pending + counts.scheduled };
  return mapStates((status) => atMost(numbers[status], status in counts ? counted_to : 20_000));
}

function mapStates(text: (status: Status) => string): Readonly<Record<Status, string>> {
  return Object.fromEntries(STATUSES.map((status) => [status, text(status)])) as Record<Status, string>;
}
