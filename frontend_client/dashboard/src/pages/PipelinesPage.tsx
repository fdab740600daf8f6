import { type ReactElement, useCallback, useMemo } from 'react';
import { type Definition, type DefinitionRow, listDefinitions, type RunRow, readDefinition } from '../data/definitions';
import { messageOf } from '../data/failure';
import { submitTask } from '../data/tasks';
import { type PlannedStep, planOf } from '../model/definition';
import { ago, count, precise, secondsBetween, shortId } from '../model/format';
import { writeRoute } from '../model/route';
import { type JsonObject, STATUSES, textOf } from '../model/task';
import { Code } from '../ui/Code';
import { go, useKeys, useNow, usePolled, useTitle } from '../ui/hooks';
import { NotForYou } from '../ui/NotForYou';
import { useProject } from '../ui/project';
import { StateMark, StateWord } from '../ui/State';
import { AskForm } from './AskForm';

const EVERY_MS = 5000;

/** What a form is made of where the document cannot be read here: the JSON itself. */
const ANYTHING: JsonObject = { type: 'object' };

interface PipelinesProps {
  readonly slug: string | null;
  readonly version: number | null;
}

/** Stored definitions, and beside the chosen one's steps its runs. */
export function PipelinesPage(props: PipelinesProps): ReactElement {
  useTitle(props.slug === null ? 'Pipelines' : `Pipeline ${props.slug}`);
  return useProject().isOperator ? <Pipelines {...props} /> : <NotForYou what="the stored pipelines" />;
}

function Pipelines({ slug, version }: PipelinesProps): ReactElement {
  const { supabase } = useProject();
  const { data, error } = usePolled(
    useCallback(() => listDefinitions(supabase), [supabase]),
    EVERY_MS,
  );
  const rows = data ?? [];
  const chosen = slug ?? rows[0]?.slug ?? null;
  const at = rows.findIndex((row) => row.slug === chosen);
  const move = (by: number) => {
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next !== undefined) go({ page: 'pipelines', slug: next.slug, version: null }, { replace: true });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  if (data === undefined) {
    return (
      <>
        <h1>Pipelines</h1>
        <p className="muted">{error ? messageOf(error) : ''}</p>
      </>
    );
  }
  if (chosen === null) return <NothingStored />;
  return (
    <div className="pipelines">
      <nav aria-label="Definitions">
        <h1>
          Pipelines <span className="muted">{count(rows.length)}</span>
        </h1>
        <ul className="inbox-list">
          {rows.map((row) => (
            <li key={row.id}>
              <DefinitionLink row={row} isChosen={row.slug === chosen} />
            </li>
          ))}
        </ul>
      </nav>
      <Chosen key={`${chosen} ${version}`} slug={chosen} version={version} />
    </div>
  );
}

function DefinitionLink({ row, isChosen }: { row: DefinitionRow; isChosen: boolean }): ReactElement {
  const runs = STATUSES.filter((status) => row.runs[status] > 0);
  return (
    <a
      href={writeRoute({ page: 'pipelines', slug: row.slug, version: null })}
      aria-current={isChosen || undefined}
      title={row.description ?? undefined}
    >
      <b>{row.name ?? row.slug}</b>
      <span className="muted small">
        {row.slug} · v{row.version}
        {row.format !== 'worker' && row.format !== null && ` · ${row.format}`}
      </span>
      <span className="small runs-of-day">
        {runs.length === 0 && <span className="muted">no runs within a day</span>}
        {runs.map((status) => (
          <span key={status} className={`is-${status}`} title={status}>
            <StateMark status={status} /> {count(row.runs[status])}
            <span className="visually-hidden"> {status}</span>
          </span>
        ))}
      </span>
    </a>
  );
}

function Chosen({ slug, version }: { slug: string; version: number | null }): ReactElement {
  const { supabase } = useProject();
  const { data: definition, error } = usePolled(
    useCallback(() => readDefinition(supabase, slug, version), [supabase, slug, version]),
    EVERY_MS,
  );
  if (definition !== undefined) return <Detail definition={definition} />;
  return <p className="muted">{error ? messageOf(error) : ''}</p>;
}

function Detail({ definition }: { definition: Definition }): ReactElement {
  const { slug, version, content, versions, runs } = definition;
  const now = useNow();
  // The content of a version never changes; the object that brings it is another one each time.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  const plan = useMemo(() => planOf(content), [slug, version]);
  const settings = content.settings as JsonObject;
  const isNewest = version === versions[0]?.version;
  return (
    <>
      <div className="pipeline">
        <header className="task-head">
          <h2>
            {textOf(settings, 'name') || slug} <span className="mono muted">{slug}</span>
          </h2>
          <label>
            <span className="visually-hidden">Version</span>
            <select
              value={version}
              onChange={(event) => {
                const chosen = Number(event.target.value);
                go({ page: 'pipelines', slug, version: chosen === versions[0]?.version ? null : chosen });
              }}
            >
              {versions.map((one) => (
                <option key={one.version} value={one.version}>
                  Version {one.version}, {ago(one.created_at, now)}
                </option>
              ))}
            </select>
          </label>
        </header>
        {textOf(settings, 'description') && <p className="muted">{textOf(settings, 'description')}</p>}
        {!isNewest && <p className="note">This is not the newest version. A run from here is of this one.</p>}
        <section className="card" aria-label="Steps">
          <header className="card-head">
            <h2>Steps</h2>
            {plan?.output && <span className="muted small">ends with {plan.output}</span>}
          </header>
          {plan === null || plan.steps.length === 0 ? (
            <p className="muted">Its outline cannot be shown; below is the document.</p>
          ) : (
            <Planned steps={plan.steps} />
          )}
          <details className="fold" open={plan === null || undefined}>
            <summary>protocol.yaml</summary>
            <Code text={textOf(content, 'protocol')} label="protocol.yaml" />
          </details>
        </section>
      </div>
      <div className="pipeline">
        {textOf(settings, 'format') === 'worker' && (
          <Run slug={slug} version={isNewest ? null : version} inputs={plan?.inputs ?? null} />
        )}
        <Runs runs={runs} slug={slug} now={now} />
      </div>
    </>
  );
}

function Planned({ steps }: { steps: readonly PlannedStep[] }): ReactElement {
  return (
    <ol className="planned">
      {steps.map((step) => (
        <li key={step.name}>
          <p>
            <span className="step-name">{step.name}</span> <span className="muted small">{step.kind}</span>
          </p>
          {step.facts && <p className="muted small">{step.facts}</p>}
          {step.inside.map(({ label, steps: inner }) => (
            <div key={label}>
              {label && <p className="muted small planned-label">{label}</p>}
              <Planned steps={inner} />
            </div>
          ))}
        </li>
      ))}
    </ol>
  );
}

interface RunProps {
  readonly slug: string;
  /** Null runs the newest. */
  readonly version: number | null;
  readonly inputs: JsonObject | null;
}

function Run({ slug, version, inputs }: RunProps): ReactElement {
  const { supabase } = useProject();
  const run = async (input: JsonObject) => {
    const payload = { agent: slug, ...(version !== null && { version }), input };
    const { id } = await submitTask(supabase, { kind: 'pipeline', request_payload: payload });
    go({ page: 'task', id });
  };
  return (
    <section className="card" aria-label="Run it">
      <header className="card-head">
        <h2>Run it</h2>
      </header>
      <AskForm schema={inputs ?? ANYTHING} given={{}} action="Run" isClosed={inputs !== null} onAsk={run} />
    </section>
  );
}

function Runs({ runs, slug, now }: { runs: readonly RunRow[]; slug: string; now: number }): ReactElement {
  return (
    <section className="card" aria-label="Runs">
      <header className="card-head">
        <h2>Runs</h2>
        <span className="muted small">the newest within a day</span>
      </header>
      {runs.length === 0 && (
        <>
          <p className="muted">None yet. Run it here, or:</p>
          <Code text={insertOf(slug)} label="SQL" />
        </>
      )}
      <ul className="runs">
        {runs.map((run) => (
          <li key={run.id}>
            <StateWord status={run.status} />
            <a className="mono" href={writeRoute({ page: 'task', id: run.id })}>
              {shortId(run.id)}
            </a>
            <span className="muted small grow" title={run.error ?? undefined}>
              {run.code ?? (run.version === null ? '' : `v${run.version}`)}
            </span>
            <span className="muted small number">
              {run.started_at === null ? '' : precise(secondsBetween(run.created_at, run.finished_at ?? now))}
            </span>
            <span className="muted small number">{ago(run.created_at, now)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function insertOf(slug: string): string {
  return `INSERT INTO agent_task_requests (kind, request_payload)\nVALUES ('pipeline', '{"agent": "${slug}", "input": {}}');`;
}

function NothingStored(): ReactElement {
  return (
    <div className="empty">
      <h1>No pipelines yet</h1>
      <p>A pipeline is a folder that describes a worker. Store one, and it can be run by its name:</p>
      <Code text="agent-worker pipelines push examples/pipelines/summarise" label="Command" />
    </div>
  );
}
