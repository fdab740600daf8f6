import type { ReactElement } from 'react';
import { oneLine, shortId } from '../model/format';
import { writeRoute } from '../model/route';
import { subjectOf, type TaskRow } from '../model/task';
import { StateWord } from '../ui/State';

/** Tasks that a task spawned. */
export function ChildList({ rows }: { rows: readonly TaskRow[] }): ReactElement {
  return (
    <section className="card" aria-label="Children">
      <header className="card-head">
        <h2>Children</h2>
      </header>
      <ul className="children">
        {rows.map((row) => (
          <li key={row.id}>
            <StateWord status={row.status} />
            <a href={writeRoute({ page: 'task', id: row.id })}>
              <span className="mono id">{shortId(row.id)}</span> {row.kind} {oneLine(subjectOf(row), 80)}
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}
