import type { ReactElement } from 'react';
import type { Status } from '../model/task';

/** A state by its shape; the word beside it says the same, so it is hidden from screen readers. */
export function StateMark({ status }: { status: Status }): ReactElement {
  return (
    <svg className={`mark is-${status}`} viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      {SHAPES[status]}
    </svg>
  );
}

export function StateWord({ status }: { status: Status }): ReactElement {
  return (
    <span className={`state is-${status}`}>
      <StateMark status={status} />
      <span>{status}</span>
    </span>
  );
}

const ring = <circle cx="8" cy="8" r="5.25" fill="none" stroke="currentColor" strokeWidth="1.5" />;

const SHAPES: Readonly<Record<Status, ReactElement>> = {
  pending: ring,
  processing: (
    <>
      {ring}
      <path className="turns" d="M8 2.75a5.25 5.25 0 0 1 0 10.5z" fill="currentColor" />
    </>
  ),
  waiting: <path d="M5 3.5v9M11 3.5v9" stroke="currentColor" strokeWidth="2.5" strokeLinecap="round" />,
  completed: <circle cx="8" cy="8" r="6" fill="currentColor" />,
  failed: <path d="m4 4 8 8M12 4l-8 8" stroke="currentColor" strokeWidth="2.25" strokeLinecap="round" />,
  cancelled: (
    <>
      {ring}
      <path d="M4.5 11.5l7-7" stroke="currentColor" strokeWidth="1.5" />
    </>
  ),
};
