import { type ReactElement, useEffect, useState } from 'react';
import { oneLine, plural, precise, secondsBetween } from '../model/format';
import { type Called, ownError, type Part, type Round, roundsOf, type Step, stateOf } from '../model/steps';
import type { Status } from '../model/task';
import { JsonValue } from './JsonTree';
import { StateMark } from './State';

interface TreeProps {
  readonly steps: readonly Step[];
  /** The task's. */
  readonly status: Status;
  readonly now: number;
}

/** Rounds of a loop that are over are folded when there are more. */
const MOST_ROUNDS = 12;

/** The steps of a run, each with what it said folded under it; what runs, waits or failed is open. */
export function StepTree({ steps, status, now }: TreeProps): ReactElement {
  return (
    <ul className="steps">
      {steps.map((step) => (
        <StepRow key={step.id} step={step} status={status} now={now} label="" />
      ))}
    </ul>
  );
}

interface RowProps {
  readonly step: Step;
  readonly status: Status;
  readonly now: number;
  /** The round it belongs to, where it is alone in it. */
  readonly label: string;
}

function StepRow({ step, status, now, label }: RowProps): ReactElement {
  const state = stateOf(step, status);
  const error = ownError(step);
  const said = step.parts.filter((part) => part.type !== 'step');
  const rounds = roundsOf(step);
  const hasMore = said.some(isSomething) || rounds.length > 0 || error !== '';
  const head = (
    <>
      <StateMark status={state} />
      <span className="visually-hidden">{state}</span>
      {label !== '' && <span className="muted">{label}</span>}
      {step.branch !== '' && <span className="muted">{step.branch} ›</span>}
      <span className="step-name">{step.name}</span>
      <span className="muted small grow">{step.detail || preview(said)}</span>
      <span className="muted small step-kind">{step.kind}</span>
      <span className="muted small number step-tokens">{step.tokens === null ? '' : plural(step.tokens, 'token')}</span>
      <span className="muted small number step-time">
        {precise(
          secondsBetween(
            step.startedAt,
            step.endedAt ?? (state === 'processing' || state === 'waiting' ? now : step.startedAt),
          ),
        )}
      </span>
    </>
  );
  if (!hasMore) {
    return (
      <li>
        <div className="step-row">{head}</div>
      </li>
    );
  }
  return (
    <li>
      <Fold className="step-fold" head={head} isOpen={state !== 'completed' || rounds.length > 0}>
        {said.map((part) => (
          <SaidPart key={part.id} part={part} now={now} />
        ))}
        <Rounds rounds={rounds} status={status} now={now} />
        {error !== '' && <p className="is-failed step-error">{error}</p>}
      </Fold>
    </li>
  );
}

function Rounds({ rounds, ...rest }: { rounds: readonly Round[]; status: Status; now: number }): ReactElement | null {
  if (rounds.length === 0) return null;
  const isOver = (round: Round) =>
    round.numbers.length > 0 && round.steps.every((step) => stateOf(step, rest.status) === 'completed');
  const folded = rounds.length > MOST_ROUNDS ? rounds.filter(isOver) : [];
  const draw = (round: Round) => <RoundRows key={round.key} round={round} {...rest} />;
  return (
    <ul className="steps">
      {folded.length > 0 && (
        <li>
          <Fold
            className="step-fold"
            isOpen={false}
            head={
              <>
                <StateMark status="completed" />
                <span className="muted grow">{plural(folded.length, 'round')} completed</span>
              </>
            }
          >
            <ul className="steps">{folded.map(draw)}</ul>
          </Fold>
        </li>
      )}
      {rounds.filter((round) => !folded.includes(round)).map(draw)}
    </ul>
  );
}

function RoundRows({ round, status, now }: { round: Round; status: Status; now: number }): ReactElement {
  const { steps, numbers } = round;
  const label = numbers.length > 0 ? `#${numbers.join('.')}` : '';
  const [only] = steps;
  if (label === '' || (steps.length === 1 && only !== undefined)) {
    return (
      <>
        {steps.map((step) => (
          <StepRow key={step.id} step={step} status={status} now={now} label={label} />
        ))}
      </>
    );
  }
  const states = steps.map((step) => stateOf(step, status));
  const state = states.find((one) => one !== 'completed') ?? 'completed';
  return (
    <li>
      <Fold
        className="step-fold"
        isOpen
        head={
          <>
            <StateMark status={state} />
            <span className="visually-hidden">{state}</span>
            <span className="muted grow">Round {numbers.join('.')}</span>
          </>
        }
      >
        <StepTree steps={steps} status={status} now={now} />
      </Fold>
    </li>
  );
}

/** Opens by itself when there is a reason to look; closes only by hand, for somebody may be reading. */
function Fold(props: {
  head: ReactElement;
  isOpen: boolean;
  className: string;
  children: React.ReactNode;
}): ReactElement {
  const [isOpen, setOpen] = useState(props.isOpen);
  useEffect(() => {
    if (props.isOpen) setOpen(true);
  }, [props.isOpen]);
  return (
    <details className={props.className} open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="step-row">{props.head}</summary>
      {isOpen && <div className="step-inside">{props.children}</div>}
    </details>
  );
}

function SaidPart({ part, now }: { part: Exclude<Part, Step>; now: number }): ReactElement | null {
  switch (part.type) {
    case 'said':
      if (part.text === '') return null;
      if (part.isReasoning) {
        return (
          <details className="fold">
            <summary>Reasoning</summary>
            <p className="said muted">{part.text}</p>
          </details>
        );
      }
      return part.isJson ? <Structured text={part.text} /> : <p className="said">{part.text.trim()}</p>;
    case 'called':
      return <Call part={part} now={now} />;
    case 'remark':
      return <p className="note">{part.text}</p>;
  }
}

/** JSON as a tree; while it still comes, as it comes. */
function Structured({ text }: { text: string }): ReactElement {
  try {
    return <JsonValue value={JSON.parse(text)} />;
  } catch {
    return <p className="said mono">{text}</p>;
  }
}

/** A call of a tool: one line, with input and output folded. */
export function Call({ part, now }: { part: Called; now: number }): ReactElement {
  const state = part.error !== '' ? 'failed' : part.endedAt === null ? 'runs' : '';
  return (
    <details className="fold">
      <summary>
        <span className="mono">{part.name || 'tool'}</span>
        <span className="muted grow">{oneLine(JSON.stringify(part.input ?? part.output) ?? '', 80)}</span>
        <span className={part.error === '' ? 'muted' : 'is-failed'}>
          {[state, precise(secondsBetween(part.startedAt, part.endedAt ?? now))].filter(Boolean).join(' · ')}
        </span>
      </summary>
      {part.input !== null && (
        <>
          <p className="muted small">Input</p>
          <JsonValue value={part.input} />
        </>
      )}
      {part.output !== undefined && (
        <>
          <p className="muted small">Output</p>
          <JsonValue value={part.output} />
        </>
      )}
      {part.error !== '' && <p className="is-failed">{part.error}</p>}
    </details>
  );
}

function isSomething(part: Part): boolean {
  return part.type !== 'said' || part.text.trim() !== '';
}

/** What a step said last, for its line. */
function preview(said: readonly Part[]): string {
  const last = said.findLast((part) => (part.type === 'said' ? !part.isReasoning : part.type === 'called'));
  if (last?.type === 'said') return oneLine(last.text, 80);
  return last?.type === 'called' ? oneLine(`${last.name} ${JSON.stringify(last.output ?? last.input)}`, 80) : '';
}
