import {
  type FormEvent,
  type ReactElement,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import { messageOf } from '../data/failure';
import { listKinds } from '../data/fleet';
import { FollowedTask } from '../data/follow';
import { readTask, submitTask } from '../data/tasks';
import { attemptsOf, segmentsOf } from '../model/attempts';
import { shortId } from '../model/format';
import { writeRoute } from '../model/route';
import { type FormValues, fieldsOf, initialValues, readForm, readJson } from '../model/schema';
import { isObject, type JsonObject } from '../model/task';
import { go, useNow, usePolled, useTitle } from '../ui/hooks';
import { useProject } from '../ui/project';
import { SchemaForm } from '../ui/SchemaForm';
import { StateWord } from '../ui/State';
import { Answer } from '../ui/Stream';
import { TimeBar } from '../ui/TimeBar';

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
            kind={chosen}
            schema={schema}
            given={given.data?.request_payload ?? {}}
            onAsked={setAsked}
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

interface AskFormProps {
  readonly kind: string;
  readonly schema: JsonObject | null;
  readonly given: JsonObject;
  readonly onAsked: (id: string) => void;
}

function AskForm({ kind, schema, given, onAsked }: AskFormProps): ReactElement {
  const { supabase, say } = useProject();
  const fields = useMemo(() => fieldsOf(schema ?? PROMPT), [schema]);
  const isForeign = Object.keys(given).some((name) => !fields.some((field) => field.name === name));
  const [isRaw, setRaw] = useState(isForeign || fields.length === 0);
  const [values, setValues] = useState<FormValues>(() => initialValues(fields, given));
  const [raw, setRawText] = useState(() => JSON.stringify(given, null, 2));
  const [errors, setErrors] = useState<Readonly<Record<string, string>>>({});
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    form.current?.querySelector<HTMLElement>('textarea, input')?.focus();
  }, []);

  const read = (): JsonObject | null => {
    if (isRaw) {
      const typed = readJson(raw);
      if ('value' in typed && isObject(typed.value)) return typed.value;
      setErrors({ raw: 'error' in typed ? typed.error : 'This must be a JSON object.' });
      return null;
    }
    const { payload, errors: wrong } = readForm(fields, values);
    setErrors(wrong);
    return Object.keys(wrong).length > 0 ? null : payload;
  };
  const ask = async () => {
    const payload = read();
    if (payload === null || isBusy) return;
    setErrors({});
    setBusy(true);
    try {
      onAsked((await submitTask(supabase, { kind, request_payload: payload })).id);
    } catch (error) {
      say(messageOf(error), 'bad');
    }
    setBusy(false);
  };
  const toggle = () => {
    if (isRaw) {
      const typed = readJson(raw);
      if ('value' in typed && isObject(typed.value)) setValues(initialValues(fields, typed.value));
    } else setRawText(JSON.stringify(readForm(fields, values).payload, null, 2));
    setErrors({});
    setRaw(!isRaw);
  };
  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        void ask();
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void ask();
      }}
    >
      {isRaw ? (
        <div className="field" data-invalid={'raw' in errors || undefined}>
          <label htmlFor="raw">request_payload</label>
          <textarea
            id="raw"
            className="mono"
            rows={10}
            spellCheck={false}
            value={raw}
            aria-invalid={'raw' in errors}
            onChange={(event) => setRawText(event.target.value)}
          />
          {errors.raw && <p className="error">{errors.raw}</p>}
        </div>
      ) : (
        <SchemaForm fields={fields} values={values} errors={errors} onChange={setValues} />
      )}
      <div className="actions">
        <button type="submit" className="primary" disabled={isBusy}>
          Ask <kbd>Ctrl Enter</kbd>
        </button>
        <button type="button" className="quiet" onClick={toggle}>
          {isRaw ? 'As a form' : 'As JSON'}
        </button>
      </div>
    </form>
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
      <p>A row is inserted into agent_task_requests as from any other client; the answer streams in here.</p>
    </div>
  );
}
