import { type ReactElement, type ReactNode, useState, useSyncExternalStore } from 'react';
import type { Flow } from '../data/live';
import { clock, count } from '../model/format';
import { type Route, writeRoute } from '../model/route';
import { go, useKeys } from './hooks';
import { KeyList } from './KeyList';
import { useProject } from './project';

interface ShellProps {
  readonly route: Route;
  readonly questions: number;
  readonly onSignOut: () => void;
  readonly children: ReactNode;
}

const PAGES: readonly { readonly name: string; readonly route: Route; readonly covers: readonly Route['page'][] }[] = [
  { name: 'Tasks', route: { page: 'tasks', search: '' }, covers: ['tasks', 'task'] },
  { name: 'Workers', route: { page: 'workers' }, covers: ['workers'] },
  { name: 'Inbox', route: { page: 'inbox', id: null }, covers: ['inbox'] },
  { name: 'Play', route: { page: 'play', kind: null, from: null }, covers: ['play'] },
  { name: 'Pipelines', route: { page: 'pipelines', slug: null, version: null }, covers: ['pipelines'] },
];

/** What stands around each page: where to go, who is here, whether what is shown is live. */
export function Shell({ route, questions, onSignOut, children }: ShellProps): ReactElement {
  const { session } = useProject();
  const [showsKeys, setShowsKeys] = useState(false);
  useKeys({
    '?': () => setShowsKeys(true),
    ...Object.fromEntries(PAGES.map((page, index) => [String(index + 1), () => go(page.route)])),
  });
  const who = session.user.email || (session.user.is_anonymous ? 'anonymous' : session.user.id.slice(0, 8));
  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <header className="bar">
        <a className="brand" href="#/tasks">
          <span className="brand-mark" aria-hidden="true" />
          agent-worker
        </a>
        <nav className="tabs" aria-label="Pages">
          {PAGES.map((page) => (
            <a
              key={page.name}
              href={writeRoute(page.route)}
              aria-current={page.covers.includes(route.page) ? 'page' : undefined}
            >
              {page.name}
              {page.name === 'Inbox' && questions > 0 && (
                <span className="badge">
                  {count(questions)}
                  <span className="visually-hidden"> open</span>
                </span>
              )}
            </a>
          ))}
        </nav>
        <Flowing />
        <button type="button" className="account" popoverTarget="account" aria-label={`Signed in as ${who}`}>
          <span aria-hidden="true">{who.slice(0, 1).toUpperCase()}</span>
        </button>
        <div className="menu" id="account" popover="auto">
          <p className="muted small">{who}</p>
          <button type="button" popoverTarget="account" onClick={() => setShowsKeys(true)}>
            Keyboard <kbd>?</kbd>
          </button>
          <button type="button" onClick={onSignOut}>
            Sign out
          </button>
        </div>
      </header>
      <OfflineBanner />
      <main className="page" id="main" tabIndex={-1}>
        {children}
      </main>
      {showsKeys && <KeyList onClose={() => setShowsKeys(false)} />}
    </>
  );
}

const FLOWS: Readonly<Record<Flow, readonly [string, string]>> = {
  connecting: ['connecting', ''],
  live: ['live', 'Changes are shown as they happen'],
  polling: ['refreshing', 'Changes do not flow now; this page looks every few seconds'],
  busy: ['refreshing', 'More changes than can be shown one by one; this page looks every few seconds'],
  offline: ['offline', 'The gateway does not answer'],
};

function Flowing(): ReactElement {
  const { feed } = useProject();
  const flow = useSyncExternalStore(feed.watch, feed.flow);
  const [word, why] = FLOWS[flow];
  return (
    <span className={`flow flow-${flow}`} title={why}>
      <span className="flow-dot" aria-hidden="true" />
      {word}
    </span>
  );
}

function OfflineBanner(): ReactElement {
  const { feed } = useProject();
  const flow = useSyncExternalStore(feed.watch, feed.flow);
  return (
    <div role="status">
      {flow === 'offline' && (
        <p className="banner">
          <b>Connection lost at {clock(feed.lostAt())}.</b> What you see is from before. Trying again; nothing to do
          here.
        </p>
      )}
    </div>
  );
}
