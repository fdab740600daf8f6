import { type ReactElement, useState } from 'react';
import { count, oneLine, plural, precise, secondsBetween } from '../model/format';
import type { Task, TaskEvent } from '../model/task';
import { CopyButton } from '../ui/CopyButton';
import { JsonValue } from '../ui/JsonTree';

/** More are drawn when they are asked for: an answer of an hour has ten thousands. */
const MOST = 200;

/** Every event as it was written. */
export function EventList({ task, events }: { task: Task; events: readonly TaskEvent[] }): ReactElement | null {
  const [isOpen, setOpen] = useState(false);
  const [most, setMost] = useState(MOST);
  if (events.length === 0) return null;
  return (
    <section className="card" aria-label="Events">
      <details className="events" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary className="card-head">
          <h2>Events</h2>
          <span className="muted small">{plural(events.length, 'event')}</span>
        </summary>
        {isOpen && (
          <>
            {events.slice(0, most).map((event) => (
              <details key={event.seq} className="event">
                <summary>
                  <span className="muted number">{event.seq}</span>
                  <span className="muted number">
                    +{precise(secondsBetween(task.created_at, Date.parse(event.created_at)))}
                  </span>
                  <span className="mono">{event.type}</span>
                  <span className="muted grow">{oneLine(JSON.stringify(event.data), 90)}</span>
                </summary>
                <JsonValue value={event.data} />
              </details>
            ))}
            {events.length > most && (
              <button type="button" className="quiet small" onClick={() => setMost(most * 5)}>
                {count(events.length - most)} more
              </button>
            )}
            <CopyButton text={() => JSON.stringify(events, null, 2)} label="Copy all" />
          </>
        )}
      </details>
    </section>
  );
}
