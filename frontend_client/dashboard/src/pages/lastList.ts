/** Where somebody came from: the search and the row, so that the way back leads there. Kept with the tab. */
import type { Route } from '../model/route';

const KEY = 'agent-worker-list';

interface Place {
  readonly search: string;
  readonly id: string | null;
}

export function remember(search: string, id: string | null): void {
  sessionStorage.setItem(KEY, JSON.stringify({ search, id } satisfies Place));
}

/** The row that was current when this search was last seen. */
export function lastOpened(search: string): string | null {
  const place = read();
  return place.search === search ? place.id : null;
}

export function lastList(): Route {
  return { page: 'tasks', search: read().search };
}

function read(): Place {
  const kept = sessionStorage.getItem(KEY);
  return kept === null ? { search: '', id: null } : (JSON.parse(kept) as Place);
}
