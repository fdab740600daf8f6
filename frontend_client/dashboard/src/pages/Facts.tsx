import type { ReactElement, ReactNode } from 'react';
import { ago, dateAndClock, shortId } from '../model/format';
import { writeRoute } from '../model/route';
import type { Task } from '../model/task';

/** The row in words, without its payloads. What has its usual value is left out. */
export function Facts({ task, worker, now }: { task: Task; worker: string | undefined; now: number }): ReactElement {
  const time = (at: string) => (
    <time dateTime={at} title={at}>
      {dateAndClock(at)} <span className="muted">{ago(at, now)}</span>
    </time>
  );
  const facts: readonly (readonly [string, ReactNode])[] = [
    ['id', <code key="id">{task.id}</code>],
    ['attempts', `${task.attempt} of ${task.max_attempts} used`],
    ['worker', task.worker_id && (worker ?? <code key="worker">{shortId(task.worker_id)}</code>)],
    ['tenant', task.enterprise_id],
    ['user', task.user_id && <code key="user">{task.user_id}</code>],
    ['priority', task.priority > 0 && String(task.priority)],
    ['time limit', task.timeout_s && `${task.timeout_s} s an attempt`],
    ['dedupe key', task.dedupe_key],
    [
      'parent',
      task.parent_id && <a href={writeRoute({ page: 'task', id: task.parent_id })}>{shortId(task.parent_id)}</a>,
    ],
    ['inserted', time(task.created_at)],
    ['not before', task.run_at && time(task.run_at)],
    ['claimed', task.started_at && time(task.started_at)],
    ['ended', task.finished_at && time(task.finished_at)],
  ];
  return (
    <section className="card" aria-label="Facts">
      <dl className="facts">
        {facts
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </section>
  );
}
