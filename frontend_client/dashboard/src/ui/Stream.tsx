import { type ReactElement, useMemo } from 'react';
import { oneLine, plural, precise, secondsBetween } from '../model/format';
import { runOf } from '../model/steps';
import { type Part, partsOf, type StepPart, type ToolPart } from '../model/stream';
import { isFinal, isObject, type Json, type Task, type TaskEvent, textOf } from '../model/task';
import { CopyButton } from './CopyButton';
import { JsonTree, JsonValue } from './JsonTree';
import { StateMark } from './State';
import { StepTree } from './StepTree';

interface AnswerProps {
  readonly task: Task;
  readonly events: readonly TaskEvent[];
  /** Text that streams after the events. */
  readonly pending: string;
  readonly now: number;
}

/** What a task says: of a pipeline its steps, of any other its answer. */
export function Answer(props: AnswerProps): ReactElement {
  return props.task.kind === 'pipeline' ? <Steps {...props} /> : <Spoken {...props} />;
}

/** The steps of a run as they are taken, each with what it says; once it has ended, its result or its failure. */
function Steps({ task, events, pending, now }: AnswerProps): ReactElement {
  const { steps, description } = useMemo(() => runOf(events, pending), [events, pending]);
  const output = task.response_payload?.output;
  return (
    <>
      <section className="card" aria-label="Steps">
        <header className="card-head">
          <h2>Steps</h2>
          <Used task={task} />
        </header>
        <Failure task={task} />
        {description !== '' && <p className="muted steps-about">{description}</p>}
        <StepTree steps={steps} status={task.status} now={now} />
        <Quiet task={task} isEmpty={steps.length === 0} />
        <Ended task={task} />
      </section>
      {task.status === 'completed' && output !== undefined && <Result output={output} />}
    </>
  );
}

function Result({ output }: { output: Json }): ReactElement {
  if (typeof output !== 'string') return <JsonTree title="Result" value={output} />;
  return (
    <section className="card" aria-label="Result">
      <header className="card-head">
        <h2>Result</h2>
        <CopyButton text={output} />
      </header>
      <p className="said">{output.trim()}</p>
    </section>
  );
}

function Used({ task }: { task: Task }): ReactElement | null {
  const usage = task.response_payload?.usage;
  if (!isObject(usage) || !usage.llm_calls) return null;
  const facts = [plural(Number(usage.llm_calls), 'model call'), plural(Number(usage.total_tokens), 'token')];
  if (Number(usage.cost_usd) > 0) facts.push(`$${Number(usage.cost_usd).toFixed(4)}`);
  return <span className="muted small">{facts.join(' · ')}</span>;
}

/** One sentence at the end, instead of every word as it comes. */
function Ended({ task }: { task: Task }): ReactElement {
  return (
    <p className="visually-hidden" role="status">
      {isFinal(task.status) ? `The task is ${task.status}.` : ''}
    </p>
  );
}

/** The text as it comes, tools and steps folded; once it has ended, the answer or the failure. */
function Spoken({ task, events, pending, now }: AnswerProps): ReactElement {
  const parts = partsOf(events, pending);
  const streams = parts.some((part) => part.type === 'text' && !part.isReasoning);
  const answer = textOf(task.response_payload, 'answer');
  const spoken = parts.flatMap((part) => (part.type === 'text' && !part.isReasoning ? [part.text] : [])).join('\n\n');
  return (
    <section className="card" aria-label="Answer">
      <header className="card-head">
        <h2>Answer</h2>
        <Model task={task} />
        {(spoken || answer) && <CopyButton text={spoken || answer} />}
      </header>
      <Failure task={task} />
      {parts.map((part, at) => (
        <PartView
          key={`${part.type}:${part.id}`}
          part={part}
          now={now}
          isGrowing={task.status === 'processing' && at === parts.length - 1}
        />
      ))}
      {!streams && answer && <p className="said">{answer}</p>}
      <Quiet task={task} isEmpty={parts.length === 0 && !answer} />
      <Ended task={task} />
    </section>
  );
}

function Quiet({ task, isEmpty }: { task: Task; isEmpty: boolean }): ReactElement | null {
  if (!isEmpty || task.status === 'failed' || task.status === 'cancelled') return null;
  const sentence = {
    pending: 'Waits for a worker.',
    processing: 'Runs; nothing said yet.',
    waiting: 'Waits for an answer. It holds no worker meanwhile.',
    completed: 'It ended without text. See its response.',
  }[task.status];
  return <p className="muted">{sentence}</p>;
}

function Model({ task }: { task: Task }): ReactElement | null {
  const model = textOf(task.response_payload, 'model');
  const usage = task.response_payload?.usage;
  const tokens =
    typeof usage === 'object' && usage !== null && 'output_tokens' in usage
      ? `${String(usage.output_tokens)} tokens`
      : '';
  const facts = [model, tokens].filter(Boolean).join(' · ');
  return facts ? <span className="muted small">{facts}</span> : null;
}

function Failure({ task }: { task: Task }): ReactElement | null {
  if (task.status !== 'failed' && task.status !== 'cancelled') return null;
  return (
    <div className={`failure is-${task.status}`}>
      <b>{textOf(task.response_payload, 'error') || `The task was ${task.status}.`}</b>
      <code>{textOf(task.response_payload, 'code')}</code>
    </div>
  );
}

function PartView({ part, now, isGrowing }: { part: Part; now: number; isGrowing: boolean }): ReactElement {
  switch (part.type) {
    case 'text':
      return part.isReasoning ? (
        <details className="fold">
          <summary>Reasoning</summary>
          <p className="said muted">{part.text}</p>
        </details>
      ) : (
        <p className="said">
          {part.text}
          {isGrowing && <span className="caret" aria-hidden="true" />}
        </p>
      );
    case 'tool':
      return <Tool part={part} now={now} />;
    case 'step':
      return <Step part={part} now={now} />;
    case 'note':
      return <p className="note">{part.text}</p>;
  }
}

function Tool({ part, now }: { part: ToolPart; now: number }): ReactElement {
  const state = part.error !== null ? 'failed' : part.endedAt === null ? 'runs' : '';
  return (
    <details className="fold">
      <summary>
        <span className="mono">{part.name || 'tool'}</span>
        <span className="muted grow">{oneLine(JSON.stringify(part.input) ?? '', 80)}</span>
        <span className={part.error === null ? 'muted' : 'is-failed'}>
          {[state, precise(secondsBetween(part.startedAt, part.endedAt ?? now))].filter(Boolean).join(' · ')}
        </span>
      </summary>
      <p className="muted small">Input</p>
      <JsonValue value={part.input} />
      {part.output !== undefined && (
        <>
          <p className="muted small">Output</p>
          <JsonValue value={part.output} />
        </>
      )}
      {part.error !== null && <p className="is-failed">{part.error}</p>}
    </details>
  );
}

function Step({ part, now }: { part: StepPart; now: number }): ReactElement {
  return (
    <p className="step" style={{ paddingInlineStart: `${part.depth * 16}px` }}>
      <StateMark status={part.endedAt === null ? 'processing' : 'completed'} />
      <span>{part.name}</span>
      <span className="muted small">{part.kind}</span>
      <span className="muted small">{precise(secondsBetween(part.startedAt, part.endedAt ?? now))}</span>
    </p>
  );
}
