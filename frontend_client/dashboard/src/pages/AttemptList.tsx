import type { ReactElement } from 'react';
import type { Attempt, Ending } from '../model/attempts';
import { clock, precise } from '../model/format';
import type { Status, Task } from '../model/task';
import { StateMark } from '../ui/State';

const MARKS: Readonly<Record<Ending, Status>> = {
  running: 'processing',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  asked: 'waiting',
  postponed: 'pending',
  'given back': 'pending',
};

const RESUMED: Readonly<Record<string, string>> = {
  rescued: 'the worker before died or shut down',
  postponed: 'it was due again',
  answered: 'what it waited for came',
};

/** Attempts with what became of each; of one that simply worked, nothing more is to be told. */
export function AttemptList(props: { task: Task; attempts: readonly Attempt[]; now: number }): ReactElement | null {
  const { task, attempts, now } = props;
  const [first] = attempts;
  if (first === undefined || (attempts.length === 1 && first.ending !== 'failed')) return null;
  return (
    <section className="card" aria-label="Attempts">
      <header className="card-head">
        <h2>Attempts</h2>
        <span className="muted small">
          {task.attempt} of {task.max_attempts} used
        </span>
      </header>
      <ol className="attempts">
        {attempts.map((attempt) => (
          <li key={attempt.from} className={`is-${MARKS[attempt.ending]}`}>
            <StateMark status={MARKS[attempt.ending]} />
            <div>
              <p>
                <b>Attempt {attempt.number}</b> {attempt.ending}
                <span className="muted">
                  {' '}
                  {clock(attempt.from)} · {precise(((attempt.to ?? now) - attempt.from) / 1000)}
                  {RESUMED[attempt.resume] ? ` · ${RESUMED[attempt.resume]}` : ''}
                </span>
              </p>
              {(attempt.code || attempt.error) && (
                <p className="attempt-error">
                  <code>{attempt.code}</code> {attempt.error}
                </p>
              )}
              {attempt.retryInS !== null && <p className="muted small">Again after {precise(attempt.retryInS)}.</p>}
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}
