/**
 * A list that does not jump: rows change where they are, and new ones wait until somebody asks for them.
 *
 * What arrives may be late or double: a row never goes back to an older change of itself.
 */
import { matches, type Search } from './qualifiers';
import type { Derived, TaskRow } from './task';

export interface TaskList {
  readonly rows: readonly TaskRow[];
  /** Ids of tasks that belong to the list and are not shown yet, at most MOST_UNSEEN. */
  readonly unseen: ReadonlySet<string>;
  /** Whether there are more of them than are counted. */
  readonly hasUncounted: boolean;
  readonly isLoaded: boolean;
  /** Whether there are older tasks than the last row. */
  readonly hasMore: boolean;
}

/** What Realtime tells of a row; payloads and what is derived from them are left out. */
export type Change = Omit<TaskRow, Derived>;

export type ListAction =
  /** Whatever is new from now on may be missing in what comes. */
  | { readonly type: 'loading' }
  | { readonly type: 'loaded'; readonly rows: readonly TaskRow[]; readonly hasMore: boolean }
  | { readonly type: 'older'; readonly rows: readonly TaskRow[]; readonly hasMore: boolean }
  | { readonly type: 'refreshed'; readonly rows: readonly TaskRow[] }
  | {
      readonly type: 'changed';
      readonly changes: readonly Change[];
      readonly search: Search;
      readonly now: number;
    }
  /** The newest page was read while changes do not flow: what is shown changes in place, what is not is new. */
  | { readonly type: 'looked'; readonly rows: readonly TaskRow[]; readonly hasMore: boolean }
  | { readonly type: 'deleted'; readonly id: string };

export const NOTHING: TaskList = { rows: [], unseen: new Set(), hasUncounted: false, isLoaded: false, hasMore: false };

/** Counted no further. */
export const MOST_UNSEEN = 1000;

export function reduceList(list: TaskList, action: ListAction): TaskList {
  switch (action.type) {
    case 'loading':
      return { ...list, unseen: new Set(), hasUncounted: false };
    case 'loaded': {
      const unseen = new Set(list.unseen);
      for (const row of action.rows) unseen.delete(row.id);
      const known = new Map(list.rows.map((row) => [row.id, row]));
      return { ...list, rows: merge(action.rows, known), unseen, isLoaded: true, hasMore: action.hasMore };
    }
    case 'older': {
      const known = new Set(list.rows.map((row) => row.id));
      const added = action.rows.filter((row) => !known.has(row.id));
      return { ...list, rows: [...list.rows, ...added], hasMore: action.hasMore };
    }
    case 'refreshed':
      return refresh(list, action.rows);
    case 'looked': {
      const shown = new Set(list.rows.map((row) => row.id));
      const unseen = action.rows.map((row) => row.id).filter((id) => !shown.has(id));
      const hasUncounted = action.hasMore && unseen.length === action.rows.length;
      return { ...refresh(list, action.rows), unseen: new Set(unseen), hasUncounted };
    }
    case 'changed':
      return change(list, action.changes, action.search, action.now);
    case 'deleted': {
      const unseen = new Set(list.unseen);
      unseen.delete(action.id);
      return { ...list, rows: list.rows.filter((row) => row.id !== action.id), unseen };
    }
  }
}

/** Ids whose row must be read again: Realtime does not carry why a task failed. */
export function idsToRead(list: TaskList, changes: readonly Change[]): readonly string[] {
  const shown = new Set(list.rows.map((row) => row.id));
  const ended = changes.filter((row) => row.status === 'failed' || row.status === 'cancelled');
  return [...new Set(ended.map((row) => row.id))].filter((id) => shown.has(id));
}

function refresh(list: TaskList, rows: readonly TaskRow[]): TaskList {
  return { ...list, rows: merge(list.rows, new Map(rows.map((row) => [row.id, row]))) };
}

function change(list: TaskList, changes: readonly Change[], search: Search, now: number): TaskList {
  const shown = new Set(list.rows.map((row) => row.id));
  const latest = new Map<string, Change>();
  const unseen = new Set(list.unseen);
  for (const row of changes) {
    if (shown.has(row.id)) latest.set(row.id, newer(latest.get(row.id), row));
    else if (!matches(row, search, now)) unseen.delete(row.id);
    else if (unseen.size < MOST_UNSEEN) unseen.add(row.id);
  }
  const hasUncounted = list.hasUncounted || unseen.size === MOST_UNSEEN;
  return { ...list, rows: merge(list.rows, latest), unseen, hasUncounted };
}

function merge(rows: readonly TaskRow[], changes: ReadonlyMap<string, Change | TaskRow>): readonly TaskRow[] {
  if (changes.size === 0) return rows;
  return rows.map((row) => {
    const next = changes.get(row.id);
    if (next === undefined || isOlder(next, row)) return row;
    const failed = next.status === 'failed' || next.status === 'cancelled';
    return { ...row, code: failed ? row.code : null, error: failed ? row.error : null, ...next };
  });
}

function newer(known: Change | undefined, row: Change): Change {
  return known !== undefined && isOlder(row, known) ? known : row;
}

/** PostgreSQL writes microseconds; as text of one format they compare in order, which Date cannot. */
function isOlder(a: Change, b: Change): boolean {
  return a.updated_at < b.updated_at;
}
