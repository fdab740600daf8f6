import { type ReactElement, useCallback, useState } from 'react';
import { messageOf } from '../data/failure';
import { drainWorker, listKinds, listWorkers, setPaused } from '../data/fleet';
import { atMost, type Kind, outlook, sortWorkers, type Worker } from '../model/fleet';
import { coarse, count, plural, secondsBetween } from '../model/format';
import { writeRoute } from '../model/route';
import { Code } from '../ui/Code';
import { Confirm } from '../ui/Dialog';
import { useNow, usePolled, useTitle } from '../ui/hooks';
import { NotForYou } from '../ui/NotForYou';
import { useProject } from '../ui/project';

const EVERY_MS = 2000;
const KINDS_EVERY_MS = 5000;

/** Who works, how busy each is, and what happens to the tasks of one that went silent; and the kinds they offer. */
export function WorkersPage(): ReactElement {
  useTitle('Workers');
  return useProject().isOperator ? <Fleet /> : <NotForYou what="the workers" />;
}

function Fleet(): ReactElement {
  const { supabase } = useProject();
  const workers = usePolled(
    useCallback(() => listWorkers(supabase), [supabase]),
    EVERY_MS,
  );
  const kinds = usePolled(
    useCallback(() => listKinds(supabase), [supabase]),
    KINDS_EVERY_MS,
  );
  return (
    <div className="workers-page">
      <h1>
        Workers <span className="muted">{workers.data ? count(workers.data.length) : ''}</span>
      </h1>
      {workers.error !== null && workers.data === undefined && (
        <p className="banner" role="alert">
          {messageOf(workers.error)}
        </p>
      )}
      {workers.data?.length === 0 && <NoWorker />}
      <ul className="workers">
        {sortWorkers(workers.data ?? []).map((worker) => (
          <WorkerCard key={worker.id} worker={worker} onChanged={workers.reload} />
        ))}
      </ul>
      {kinds.data !== undefined && kinds.data.length > 0 && (
        <>
          <h1>
            Kinds <span className="muted">{count(kinds.data.length)}</span>
          </h1>
          <ul className="kinds">
            {kinds.data.map((kind) => (
              <KindRow key={kind.kind} kind={kind} onChanged={kinds.reload} />
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function WorkerCard({ worker, onChanged }: { worker: Worker; onChanged: () => void }): ReactElement {
  const { supabase, say } = useProject();
  const now = useNow();
  const [asks, setAsks] = useState(false);
  const next = outlook(worker);
  const isDraining = worker.state === 'draining' || worker.drain_requested_at !== null;
  const drain = async () => {
    try {
      await drainWorker(supabase, worker.id);
      say(`${worker.name} drains: it finishes what it runs and leaves.`);
    } catch (error) {
      say(messageOf(error), 'bad');
    }
    onChanged();
  };
  return (
    <li className={`card worker worker-${worker.health}`}>
      <header>
        <span className="worker-mark" aria-hidden="true" />
        <h2>{worker.name}</h2>
        <span className="worker-health">{worker.health === 'live' && isDraining ? 'draining' : worker.health}</span>
        {worker.health !== 'gone' && (
          <button type="button" className="small" disabled={isDraining} onClick={() => setAsks(true)}>
            Drain
          </button>
        )}
      </header>
      <Slots worker={worker} />
      {next && <p className="outlook">{next}</p>}
      <p className="muted small">
        {worker.host} · pid {worker.pid} · {worker.version} · {upTime(worker, now)} · heartbeat{' '}
        {coarse(worker.heartbeat_age_s)} ago
      </p>
      <p className="chips">
        {worker.kinds.map((kind) => (
          <a key={kind} className="chip" href={writeRoute({ page: 'tasks', search: `kind:${kind}` })}>
            {kind}
          </a>
        ))}
      </p>
      {asks && (
        <Confirm
          title={`Drain ${worker.name}?`}
          action="Drain"
          keep="Keep"
          onConfirm={() => void drain()}
          onClose={() => setAsks(false)}
        >
          <p>
            It takes no more tasks, finishes {worker.held > 0 ? plural(worker.held, 'task') : 'what it runs'} and
            leaves. What is not done in its grace period goes back to the queue.
          </p>
        </Confirm>
      )}
    </li>
  );
}

/** A worker that is gone was up until its last heartbeat. */
function upTime(worker: Worker, now: number): string {
  const age = secondsBetween(worker.started_at, now);
  return worker.health === 'gone' ? `was up ${coarse(age - worker.heartbeat_age_s)}` : `up ${coarse(age)}`;
}

/** Dots while they can be counted by eye; a bar for more. */
const MOST_DOTS = 40;

function Slots({ worker }: { worker: Worker }): ReactElement {
  const { concurrency, held } = worker;
  return (
    <p className="slots">
      {concurrency <= MOST_DOTS ? (
        <span className="dots" aria-hidden="true">
          {Array.from({ length: concurrency }, (_, slot) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a slot is its place
            <span key={slot} className={slot < held ? 'dot used' : 'dot'} />
          ))}
        </span>
      ) : (
        <span className="slot-bar" aria-hidden="true">
          <span style={{ width: `${(100 * held) / concurrency}%` }} />
        </span>
      )}
      <span>
        {count(held)} of {plural(concurrency, 'slot')}
      </span>
    </p>
  );
}

function KindRow({ kind, onChanged }: { kind: Kind; onChanged: () => void }): ReactElement {
  const { supabase, say } = useProject();
  const toggle = async () => {
    try {
      await setPaused(supabase, kind.kind, !kind.is_paused);
      say(kind.is_paused ? `${kind.kind} goes on.` : `${kind.kind} is paused: what runs goes on, the rest waits.`);
    } catch (error) {
      say(messageOf(error), 'bad');
    }
    onChanged();
  };
  return (
    <li className={kind.is_paused ? 'paused' : ''}>
      <a href={writeRoute({ page: 'tasks', search: `kind:${kind.kind}` })}>{kind.kind}</a>
      <span className="grow muted">
        {[
          kind.is_paused && 'paused',
          kind.pending > 0 && `${atMost(kind.pending, kind.counted_to)} wait`,
          kind.pending > 0 && kind.oldest_s !== null && `oldest ${coarse(kind.oldest_s)}`,
          plural(kind.workers, 'worker'),
          kind.is_limited && 'limited',
          !kind.is_known && 'never offered by a worker; its tasks fail after a minute',
        ]
          .filter(Boolean)
          .join(' · ')}
      </span>
      <button type="button" className="small" onClick={toggle}>
        {kind.is_paused ? 'Resume' : 'Pause'}
      </button>
    </li>
  );
}

function NoWorker(): ReactElement {
  const start = 'agent-worker run';
  return (
    <div className="empty">
      <h2>No worker</h2>
      <p>Tasks wait until one is there. Start one, on any machine that reaches the database:</p>
      <Code text={start} label="Command" />
    </div>
  );
}
