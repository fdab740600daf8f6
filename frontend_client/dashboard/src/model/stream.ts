/** What a task says, put together from its events: text as it grows, tools, steps, questions. */
import { isObject, type Json, type JsonObject, type TaskEvent, textOf } from './task';

export interface TextPart {
  readonly type: 'text';
  readonly id: string;
  readonly text: string;
  readonly isReasoning: boolean;
}

export interface ToolPart {
  readonly type: 'tool';
  readonly id: string;
  readonly name: string;
  readonly input: Json;
  readonly output: Json | undefined;
  readonly error: string | null;
  readonly startedAt: string;
  readonly endedAt: string | null;
}

export interface StepPart {
  readonly type: 'step';
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly depth: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
}

export interface NotePart {
  readonly type: 'note';
  readonly id: string;
  readonly text: string;
}

export type Part = TextPart | ToolPart | StepPart | NotePart;

/**
 * Drop what a new attempt has withdrawn: `attempt-start` withdraws all that was said before, except in the steps it
 * names as kept.
 */
export function visibleEvents(events: readonly TaskEvent[]): readonly TaskEvent[] {
  let shown: TaskEvent[] = [];
  for (const event of events) {
    if (event.type !== 'attempt-start') {
      shown.push(event);
      continue;
    }
    const kept = Array.isArray(event.data.keep) ? event.data.keep : [];
    shown = shown.filter((earlier) => kept.includes(earlier.data.step ?? null));
  }
  return shown;
}

/**
 * Put events (in order of `seq`) together into what a page shows, in the order in which each part began.
 *
 * @param pending Text that streams after the events and is not among them yet.
 */
export function partsOf(events: readonly TaskEvent[], pending = ''): readonly Part[] {
  const parts = new Map<string, Part>();
  const open: string[] = [];
  for (const event of visibleEvents(events)) {
    const part = partOf(event, parts, open);
    if (part !== null) parts.set(`${part.type}:${part.id}`, part);
  }
  const said = [...parts.values()].filter((part) => part.type !== 'text' || part.text !== '');
  return pending === '' ? said : withPending(said, pending);
}

/** All the text of an answer that is still coming. */
export function streamedText(events: readonly TaskEvent[]): string {
  const parts = partsOf(events);
  return parts.flatMap((part) => (part.type === 'text' && !part.isReasoning ? [part.text] : [])).join('\n\n');
}

function withPending(said: readonly Part[], pending: string): readonly Part[] {
  const last = said.at(-1);
  if (last?.type !== 'text' || last.isReasoning) {
    return [...said, { type: 'text', id: 'pending', text: pending, isReasoning: false }];
  }
  return [...said.slice(0, -1), { ...last, text: last.text + pending }];
}

function partOf(event: TaskEvent, parts: ReadonlyMap<string, Part>, open: string[]): Part | null {
  const { data, type } = event;
  switch (type) {
    case 'text-start':
    case 'text-delta':
    case 'reasoning-start':
    case 'reasoning-delta':
      return text(event, parts, type.startsWith('reasoning'));
    case 'tool-input-start':
    case 'tool-input-available':
    case 'tool-output-available':
    case 'tool-output-error':
      return tool(event, parts);
    case 'block-start': {
      const id = textOf(data, 'blockId');
      const name = textOf(data, 'description') || textOf(data, 'blockName');
      open.push(id);
      const kind = textOf(data, 'blockType');
      return { type: 'step', id, name, kind, depth: open.length - 1, startedAt: event.created_at, endedAt: null };
    }
    case 'block-end': {
      const id = textOf(data, 'blockId');
      if (open.includes(id)) open.splice(open.indexOf(id));
      const begun = parts.get(`step:${id}`);
      return begun?.type === 'step' ? { ...begun, endedAt: event.created_at } : null;
    }
    case 'human-request':
      return { type: 'note', id: `${event.seq}`, text: `Asked a person: ${textOf(data, 'title')}` };
    case 'client-tool-request':
      return { type: 'note', id: `${event.seq}`, text: `Asked the client to run ${toolNames(data)}` };
    default:
      return null;
  }
}

function text(event: TaskEvent, parts: ReadonlyMap<string, Part>, isReasoning: boolean): TextPart {
  const id = `${isReasoning ? 'reasoning' : 'text'}:${textOf(event.data, 'id')}`;
  const before = parts.get(`text:${id}`);
  const said = before?.type === 'text' ? before.text : '';
  return { type: 'text', id, text: said + textOf(event.data, 'delta'), isReasoning };
}

function tool(event: TaskEvent, parts: ReadonlyMap<string, Part>): ToolPart {
  const { data } = event;
  const id = textOf(data, 'toolCallId');
  const before = parts.get(`tool:${id}`);
  const known: ToolPart =
    before?.type === 'tool'
      ? before
      : {
          type: 'tool',
          id,
          name: '',
          input: null,
          output: undefined,
          error: null,
          startedAt: event.created_at,
          endedAt: null,
        };
  switch (event.type) {
    case 'tool-output-available':
      return { ...known, output: data.output ?? null, endedAt: event.created_at };
    case 'tool-output-error':
      return { ...known, error: textOf(data, 'error'), endedAt: event.created_at };
    default:
      return { ...known, name: textOf(data, 'toolName') || known.name, input: data.input ?? known.input };
  }
}

function toolNames(data: JsonObject): string {
  const calls = Array.isArray(data.toolCalls) ? (data.toolCalls as readonly Json[]) : [];
  return calls.map((call) => (isObject(call) ? textOf(call, 'toolName') : '')).join(', ');
}
