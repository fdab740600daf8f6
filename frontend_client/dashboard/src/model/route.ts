/** Addresses within the page: `#/tasks?q=status:failed`, `#/tasks/ID`, `#/workers`, `#/inbox/ID`, `#/play?kind=chat`, `#/pipelines/SLUG?version=3`. */
export type Route =
  | { readonly page: 'tasks'; readonly search: string }
  | { readonly page: 'task'; readonly id: string }
  | { readonly page: 'workers' }
  | { readonly page: 'inbox'; readonly id: string | null }
  | { readonly page: 'pipelines'; readonly slug: string | null; readonly version: number | null }
  | { readonly page: 'play'; readonly kind: string | null; readonly from: string | null };

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/u, '').split('?', 2);
  const [page, id] = path.split('/');
  const params = new URLSearchParams(query);
  switch (page) {
    case 'tasks':
      return id ? { page: 'task', id: decode(id) } : { page: 'tasks', search: params.get('q') ?? '' };
    case 'workers':
      return { page: 'workers' };
    case 'inbox':
      return { page: 'inbox', id: id ? decode(id) : null };
    case 'pipelines':
      return { page: 'pipelines', slug: id ? decode(id) : null, version: Number(params.get('version')) || null };
    case 'play':
      return { page: 'play', kind: params.get('kind'), from: params.get('from') };
    default:
      return { page: 'tasks', search: '' };
  }
}

export function writeRoute(route: Route): string {
  switch (route.page) {
    case 'tasks':
      return route.search ? `#/tasks?${new URLSearchParams({ q: route.search })}` : '#/tasks';
    case 'task':
      return `#/tasks/${encodeURIComponent(route.id)}`;
    case 'workers':
      return '#/workers';
    case 'inbox':
      return route.id === null ? '#/inbox' : `#/inbox/${encodeURIComponent(route.id)}`;
    case 'pipelines': {
      const version = route.version === null ? '' : `?version=${route.version}`;
      return route.slug === null ? '#/pipelines' : `#/pipelines/${encodeURIComponent(route.slug)}${version}`;
    }
    case 'play': {
      const given = Object.entries({ kind: route.kind, from: route.from }).filter((pair) => pair[1] !== null);
      const query = new URLSearchParams(given as [string, string][]).toString();
      return query ? `#/play?${query}` : '#/play';
    }
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
