import type { Call, Connection } from './connection.js';
import { errorEvent, lost } from './errors.js';
import type { PendingToolCall, StreamEvent, ToolResult } from './events.js';
import { LegReader } from './leg-reader.js';
import { isHandled, runTools, type ToolHandlers } from './tools.js';

/** A run, and who reads it. */
export interface Run {
  readonly connection: Connection;
  readonly agentId: string;
  /** What begins its first leg. */
  readonly first: Call;
  readonly tools: ToolHandlers;
  readonly signal: AbortSignal | undefined;
  /** Whether it goes on when its reader leaves. */
  readonly isKept: boolean;
  /** Null for a run that has not begun. */
  readonly executionId: string | null;
}

/** The path of an agent, by slug or id. */
export function agentPath(agentId: string): string {
  return `/api/agents/${encodeURIComponent(agentId)}`;
}

/** The request that begins the next leg of a run. */
export function continuation(agentId: string, executionId: string, toolResults: readonly ToolResult[]): Call {
  const body = { type: 'continue', executionId, toolResults };
  return { method: 'POST', path: `${agentPath(agentId)}/execute`, accept: 'text/event-stream', body };
}

/** Yield the events of a run over all legs that `tools` can answer. */
export function eventsOf(run: Run): AsyncGenerator<StreamEvent, void, undefined> {
  const left = new AbortController();
  const events = follow(run, left);
  const end = events.return.bind(events);
  // A generator hears of its end only between two events; this one may be waiting for the next.
  events.return = (value) => {
    left.abort();
    return end(value);
  };
  return events;
}

async function* follow(run: Run, left: AbortController): AsyncGenerator<StreamEvent, void, undefined> {
  const { connection, agentId, tools, signal } = run;
  if (signal?.aborted && run.executionId === null) return yield stopped(null);
  const reader = new LegReader(connection, agentPath(agentId), left.signal);
  reader.executionId = run.executionId;
  const leave = () => left.abort();
  signal?.addEventListener('abort', leave);
  if (signal?.aborted) leave();
  let hasEnded = false;
  let isSettled = false;
  let stopping: Promise<void> | null = null;
  const stop = () => {
    if (!isSettled && (signal?.aborted || !run.isKept)) stopping ??= reader.stop();
  };
  try {
    for (let call: Call | null = run.first; call !== null && !left.signal.aborted; ) {
      const asked: PendingToolCall[] = [];
      for await (const event of reader.leg(call)) {
        if (event.type === 'tool-request') {
          asked.push(...event.toolCalls);
        } else if (event.type !== 'finish' || event.finishReason !== 'tool-calls') {
          hasEnded ||= event.type === 'finish' || event.type === 'error';
          isSettled ||= hasEnded || settles(event, reader.executionId);
          yield event;
        }
      }
      call = null;
      if (asked.length > 0 && !isSettled && !left.signal.aborted) {
        const results = await answers(tools, asked, reader.executionId, left.signal);
        const open = asked.filter((each) => !isHandled(tools, each));
        if (results === null) break;
        if (reader.executionId === null) {
          hasEnded = isSettled = true;
          yield errorEvent(lost('A tool was asked for before the run said its id.'));
        } else if (open.length > 0) {
          hasEnded = isSettled = true;
          yield* handOver(reader.executionId, open, results);
        } else {
          call = continuation(agentId, reader.executionId, results);
        }
      }
    }
    if (left.signal.aborted && !hasEnded) {
      stop();
      yield stopped(reader.executionId);
    }
  } finally {
    signal?.removeEventListener('abort', leave);
    stop();
    if (stopping === null) reader.leave();
    else await stopping;
  }
}

/** Ask the caller for what `tools` cannot do; the run waits. */
function* handOver(
  executionId: string,
  toolCalls: readonly PendingToolCall[],
  results: readonly ToolResult[],
): Generator<StreamEvent, void, undefined> {
  const done = results.length > 0 && { serverToolResults: results };
  yield { type: 'client-tool-request', executionId, toolCalls, ...done };
  yield { type: 'finish', finishReason: 'client-tool-calls', executionId };
}

/** The results of those calls that have a handler, or null when nobody waits for them any more. */
function answers(
  tools: ToolHandlers,
  asked: readonly PendingToolCall[],
  executionId: string | null,
  signal: AbortSignal,
): Promise<ToolResult[] | null> {
  const ours = asked.filter((call) => isHandled(tools, call));
  return new Promise((resolve) => {
    const leave = () => resolve(null);
    signal.addEventListener('abort', leave);
    void runTools(tools, ours, { executionId, signal }).then((results) => {
      signal.removeEventListener('abort', leave);
      resolve(results);
    });
  });
}

/** Whether nothing is left that should be stopped, since the run gives its result or waits for the caller. */
function settles(event: StreamEvent, executionId: string | null): boolean {
  if (event.type === 'worker-result') return event.workerId === executionId;
  return event.type === 'client-tool-request';
}

function stopped(executionId: string | null): StreamEvent {
  return { type: 'finish', finishReason: 'stop', ...(executionId !== null && { executionId }) };
}
