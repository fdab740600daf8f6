/*
 * A scripted agents API on a real socket: each request is answered by the next step of the script. It knows what is
 * asked and when somebody hangs up; the real gateway is for tests/integration.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { Connection, type ConnectionOptions, type Pace } from '../../src/workers/connection.js';
import { type StreamEvent, WorkersApi } from '../../src/workers/index.js';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  readonly body: any;
  isGone: boolean;
}

export type Answer = (response: ServerResponse, asked: Asked) => unknown;

/** Delays that do not slow a test down. */
const QUICK: Partial<Pace> = { firstDelayMs: 1, longestDelayMs: 4, stopMs: 2000 };

export class ScriptedGateway {
  readonly asked: Asked[] = [];
  /** Answers in order; requests to cancel have their own. */
  script: Answer[] = [];
  onCancel: Answer = (response) => json(response, 200, {});
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  static async start(): Promise<ScriptedGateway> {
    const gateway = new ScriptedGateway();
    await new Promise<void>((resolve) => gateway.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => gateway.stop());
    return gateway;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  connection(options: Partial<ConnectionOptions> = {}, pace: Partial<Pace> = {}): Connection {
    return new Connection({ baseUrl: this.url, apiKey: 'sb_secret_test', ...options }, { ...QUICK, ...pace });
  }

  workers(options: Partial<ConnectionOptions> = {}, pace: Partial<Pace> = {}): WorkersApi {
    return new WorkersApi(this.connection(options, pace));
  }

  /** `POST /api/agents/a/execute` and so on, in order. */
  get paths(): string[] {
    return this.asked.map(({ method, path }) => `${method} ${path}`);
  }

  get cancelled(): string[] {
    return this.asked.map(({ path }) => /executions\/(.*)\/cancel$/.exec(path)?.[1]).filter((id) => id !== undefined);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method = '', url: path = '', headers } = request;
    const asked = { method, path, headers, body: text === '' ? undefined : JSON.parse(text), isGone: false };
    response.on('close', () => {
      asked.isGone = !response.writableFinished;
    });
    this.asked.push(asked);
    const answer = path.endsWith('/cancel') ? this.onCancel : this.script.shift();
    await (answer ?? ((other) => json(other, 500, { error: 'The script has ended.' })))(response, asked);
  }
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** What ends a connection: the trailer, the socket's end, or nothing for now. */
type Ending = 'done' | 'cut' | 'open';

/** One row: its number, and the events it is told by. */
export type Row = readonly [seq: number, ...events: readonly object[]];

/** Answer with rows. */
export function stream(rows: readonly Row[], ending: Ending = 'done', headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
    response.flushHeaders();
    for (const frame of framesOf(rows)) response.write(frame);
    if (ending === 'done') response.end('data: [DONE]\n\n');
    if (ending === 'cut') cut(response);
  };
}

/** As the gateway does: only the last frame of a row bears its number. */
export function framesOf(rows: readonly Row[]): string[] {
  return rows.flatMap(([seq, ...events]) =>
    events.map(
      (event, index) => `${index === events.length - 1 ? `id: ${seq}\n` : ''}data: ${JSON.stringify(event)}\n\n`,
    ),
  );
}

/** Break the connection once everything has been sent. */
export function cut(response: ServerResponse): void {
  // A chunk of its own, so that what was written before has gone out when this one has.
  response.write('\n', () => setImmediate(() => response.socket?.destroy()));
}

export const START = { type: 'start', executionId: 'X' } as const;
export const STOP = { type: 'finish', finishReason: 'stop', executionId: 'X' } as const;
export const USAGE = {
  type: 'usage',
  cost: { currency: 'USD', bandwidthFee: 0, providerFee: 0, totalFee: 0, byok: true },
  tokens: { inputTokens: 1, outputTokens: 2, totalTokens: 3 },
} as const;
export const delta = (text: string) => ({ type: 'text-delta', id: 't', delta: text }) as const;
export const result = (output: unknown) => ({ type: 'worker-result', workerId: 'X', output }) as const;

export async function all(events: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const seen: StreamEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}
