import { type ReactElement, useCallback, useMemo, useState, useSyncExternalStore } from 'react';
import { listKinds } from '../data/fleet';
import { FollowedTask } from '../data/follow';
import { readTask, submitTask } from '../data/tasks';
import { attemptsOf, segmentsOf } from '../model/attempts';
import { shortId } from '../model/format';
import { writeRoute } from '../model/route';
import type { JsonObject } from '../model/task';
import { go, useNow, usePolled, useTitle } from '../ui/hooks';
import { useProject } from '../ui/project';
import { StateWord } from '../ui/State';
import { Answer } from '../ui/Stream';
import { TimeBar } from '../ui/TimeBar';
import { AskForm } from './AskForm';

/** What a kind is asked with whose processor declares nothing. */
const PROMPT: JsonObject = {
  type: 'object',
  properties: { prompt: { type: 'string' } },
  required: ['prompt'],
};
const KINDS_EVERY_MS = 15_000;

/** Ask something and watch the answer come. */
export function PlayPage({ kind, from }: { kind: string | null; from: string | null }): ReactElement {
  useTitle('Play');
  const { supabase, isOperator } = useProject();
  const kinds = usePolled(
    useCallback(() => (isOperator ? listKinds(supabase) : Promise.resolve([])), [supabase, isOperator]),
    KINDS_EVERY_MS,
  );
  const given = usePolled(
    useCallback(() => (from === null ? Promise.resolve(null) : readTask(supabase, from)), [supabase, from]),
    null,
  );
  const [asked, setAsked] = useState<string | null>(null);
  const names = kinds.data?.map((one) => one.kind) ?? [];
  const chosen = kind ?? (names.includes('chat') || names.length === 0 ? 'chat' : (names[0] ?? 'chat'));
  const schema = kinds.data?.find((one) => one.kind === chosen)?.payload_schema ?? null;
  const isReady = (kinds.data !== undefined || kinds.error !== null) && given.data !== undefined;
  return (
    <div className="play">
      <h1 className="visually-hidden">Play</h1>
      <section className="card" aria-label="Ask">
        <div className="field">
          <label htmlFor="kind">Kind</label>
          <KindInput names={names} chosen={chosen} />
        </div>
        {isReady && (
          <AskForm
            key={`${chosen}-${from}-${schema === null}`}
            schema={schema ?? PROMPT}
            given={given.data?.request_payload ?? {}}
            action="Ask"
            hasFocus
            onAsk={async (payload) =>
              setAsked((await submitTask(supabase, { kind: chosen, request_payload: payload })).id)
            }
          />
        )}
      </section>
      <div>{asked === null ? <NothingAsked /> : <Watched key={asked} id={asked} />}</div>
    </div>
  );
}

/** A choice for who may ask which kinds there are; to others a name has to be told. */
function KindInput({ names, chosen }: { names: readonly string[]; chosen: string }): ReactElement {
  const choose = (kind: string) => go({ page: 'play', kind, from: null }, { replace: true });
  if (names.length === 0) {
    return (
      <input id="kind" type="text" spellCheck={false} value={chosen} onChange={(event) => choose(event.target.value)} />
    );
  }
  return (
    <select id="kind" value={chosen} onChange={(event) => choose(event.target.value)}>
      {[...new Set([...names, chosen])].map((name) => (
        <option key={name}>{name}</option>
      ))}
    </select>
  );
}

function Watched({ id }: { id: string }): ReactElement {
  const { supabase } = useProject();
  const followed = useMemo(() => new FollowedTask(supabase, id), [supabase, id]);
  const { task, events, pending } = useSyncExternalStore(followed.watch, followed.state);
  const now = useNow(250);
  if (!task) return <p className="muted">Asked. Waiting for the first word.</p>;
  return (
    <>
      <p className="watched">
        <StateWord status={task.status} />
        <a href={writeRoute({ page: 'task', id })}>Task {shortId(id)}</a>
      </p>
      <TimeBar segments={segmentsOf(task, attemptsOf(task, events), now)} />
      <Answer task={task} events={events} pending={pending} now={now} />
    </>
  );
}

function NothingAsked(): ReactElement {
  return (
    <div className="empty">
      <h2>Ask, and watch</h2>
      <p>
        A row is inserted into <code>agent_task_requests</code> as from any other client; the answer streams in here.
      </p>
    </div>
  );
}
