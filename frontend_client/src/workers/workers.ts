import { randomId } from '../core/random-id.js';
import type { AgentTaskStatus } from '../core/task.js';
import { type Call, Connection, type ConnectionOptions } from './connection.js';
import { abortError, WorkerError } from './errors.js';
import type { StreamEvent, StreamEventOf, ToolResult } from './events.js';
import { agentPath, continuation, eventsOf } from './run.js';
import type { ToolHandlers } from './tools.js';

/** What goes with a run. */
export interface WorkerOptions {
  /** Run here, side by side; tools that are not among them are asked for by `client-tool-request`. */
  readonly tools?: ToolHandlers | undefined;
  /** Stops the run. */
  readonly signal?: AbortSignal | undefined;
}

/** What goes with a new run. */
export interface WorkerExecuteOptions extends WorkerOptions {
  /**
   * The same key is the same run, whoever calls how often; one is made for each call unless given. A run with a key of
   * yours goes on when you leave its loop.
   */
  readonly idempotencyKey?: string | undefined;
}

/** What a worker came to. */
export interface WorkerResult<Output = unknown> {
  readonly executionId: string;
  /** Absent when the worker ends with no value. */
  readonly output?: Output;
  /** What its models cost, where that is known. */
  readonly usage?: Omit<StreamEventOf<'usage'>, 'type'>;
}

/** How a run stands. */
export interface Execution {
  readonly executionId: string;
  readonly agentId: string;
  readonly status: AgentTaskStatus;
  /** The number of its last event. */
  readonly cursor: number;
  readonly output?: unknown;
  readonly error?: Omit<StreamEventOf<'error'>, 'type'>;
  /** What its models used up, as the task's response has it. */
  readonly usage?: Readonly<Record<string, unknown>>;
}

/**
 * Runs workers and gives what they say, event by event.
 *
 * Nothing happens before the first event is asked for. A connection that breaks is made anew, and no event is given
 * twice or left out. Leaving a loop early stops the run, unless it waits for tools of yours, has given its result, or
 * has an idempotency key of yours.
 *
 * @example
 * ```ts
 * const workers = new WorkersApi({ baseUrl: 'http://127.0.0.1:54321', apiKey: process.env.AGENT_WORKER_SECRET_KEY });
 * for await (const event of workers.execute('research', { TOPIC: 'tea' })) {
 *   if (event.type === 'text-delta') process.stdout.write(event.delta);
 * }
 * ```
 */
export class WorkersApi {
  readonly #connection: Connection;

  constructor(options: ConnectionOptions | Connection) {
    this.#connection = options instanceof Connection ? options : new Connection(options);
  }

  /**
   * Run a worker.
   *
   * @param agentId - Its slug or id.
   * @param input - Values of its inputs.
   * @returns Its events. They end with `finish` or `error`; after `finish` may come `usage`. What the gateway refuses
   *   is an `error` event. A run that the signal stops ends with `finish`, and nothing is thrown.
   *
   * @example
   * ```ts
   * const tools = { 'web-search': ({ query }: { query: string }) => [`about ${query}`] };
   * for await (const event of client.workers.execute('research', { TOPIC: 'tea' }, { tools })) {
   *   if (event.type === 'worker-result') console.log(event.output);
   * }
   * ```
   */
  execute(
    agentId: string,
    input: Readonly<Record<string, unknown>>,
    options: WorkerExecuteOptions = {},
  ): AsyncGenerator<StreamEvent, void, undefined> {
    const call: Call = {
      method: 'POST',
      path: `${agentPath(agentId)}/execute`,
      accept: 'text/event-stream',
      body: { type: 'start', input },
      idempotencyKey: options.idempotencyKey ?? randomId(),
    };
    return this.#run(agentId, call, options, options.idempotencyKey !== undefined, null);
  }

  /**
   * Go on with a run that waits for tools, however much later and from wherever.
   *
   * @param toolResults - One for each call of the `client-tool-request`, and its `serverToolResults`.
   *
   * @example
   * ```ts
   * for await (const event of client.workers.continue('research', executionId, [{ toolCallId, result: 'yes' }])) {
   *   console.log(event.type);
   * }
   * ```
   */
  continue(
    agentId: string,
    executionId: string,
    toolResults: readonly ToolResult[],
    options: WorkerOptions = {},
  ): AsyncGenerator<StreamEvent, void, undefined> {
    return this.#run(agentId, continuation(agentId, executionId, toolResults), options, false, executionId);
  }

  /**
   * Run a worker and wait for what it comes to.
   *
   * @throws WorkerError - It failed, or asked for a tool that is not among `tools`.
   * @throws An error for which `isAbortError` holds - The signal was aborted.
   *
   * @example
   * ```ts
   * const { output } = await client.workers.generate<string>('title', { TEXT: 'Rain again.' });
   * ```
   */
  async generate<Output = unknown>(
    agentId: string,
    input: Readonly<Record<string, unknown>>,
    options: WorkerExecuteOptions = {},
  ): Promise<WorkerResult<Output>> {
    let executionId = '';
    let result: StreamEventOf<'worker-result'> | null = null;
    let usage: Omit<StreamEventOf<'usage'>, 'type'> | null = null;
    for await (const event of this.execute(agentId, input, options)) {
      if (event.type === 'start') executionId = event.executionId ?? executionId;
      // Workers that this one calls have results of their own.
      if (event.type === 'worker-result' && event.workerId === executionId) result = event;
      if (event.type === 'usage') usage = { cost: event.cost, tokens: event.tokens };
      if (event.type === 'error') throw failureOf(event, executionId);
      if (event.type === 'client-tool-request') {
        const names = event.toolCalls.map(({ toolName }) => toolName).join(', ');
        throw unexplained(`The worker waits for tools that nobody runs here: ${names}.`, 'client_tools', executionId);
      }
    }
    if (options.signal?.aborted && result === null) throw abortError(options.signal.reason);
    if (result === null) throw unexplained('The worker ended without a result.', 'no_result', executionId);
    if (result.error !== undefined) throw unexplained(result.error, 'execution_error', executionId);
    return {
      executionId,
      ...('output' in result && { output: result.output as Output }),
      ...(usage !== null && { usage }),
    };
  }

  /**
   * Look how a run stands.
   *
   * @throws WorkerError
   */
  status(agentId: string, executionId: string): Promise<Execution> {
    const path = `${agentPath(agentId)}/executions/${encodeURIComponent(executionId)}`;
    return this.#connection.json({ method: 'GET', path }, 3);
  }

  /**
   * Stop a run; one that has ended stays as it is.
   *
   * @throws WorkerError
   */
  async cancel(agentId: string, executionId: string): Promise<void> {
    const path = `${agentPath(agentId)}/executions/${encodeURIComponent(executionId)}/cancel`;
    await this.#connection.json({ method: 'POST', path }, 3);
  }

  #run(agentId: string, first: Call, options: WorkerOptions, isKept: boolean, executionId: string | null) {
    const { tools = {}, signal } = options;
    return eventsOf({ connection: this.#connection, agentId, first, tools, signal, isKept, executionId });
  }
}

function failureOf({ message, type: _, ...details }: StreamEventOf<'error'>, executionId: string): WorkerError {
  return new WorkerError(message, { ...details, code: details.code ?? details.errorType, executionId });
}

/** The error of a run that ended without telling one. */
function unexplained(message: string, code: string, executionId: string): WorkerError {
  return new WorkerError(message, {
    errorType: 'execution_error',
    source: 'platform',
    code,
    retryable: false,
    executionId,
  });
}
