import type { ReactElement } from 'react';

/** In the place of a page for operators. */
export function NotForYou({ what }: { what: string }): ReactElement {
  return (
    <div className="empty">
      <h1>Only operators see {what}</h1>
      <p>
        A user becomes one by <code>{'{"agent_worker": "operator"}'}</code> in its <code>app_metadata</code>, which only
        the service role may set, and by signing in again.
      </p>
    </div>
  );
}
