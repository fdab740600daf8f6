/*
 * The worker protocol's own packages for browsers, unmodified, against a real gateway. `pytest
 * tests/frontend/test_workers.py` installs them into a folder of its own, which OCTAVUS_PACKAGES names.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { AgentWorkerClient, type StreamEvent, WorkerError } from '../../src/workers/index.js';
import { until } from '../project.js';
import * as definitions from './definitions.js';

const {
  AGENT_WORKER_URL: url = '',
  AGENT_WORKER_SECRET_KEY: secret = '',
  OCTAVUS_PACKAGES: packages = '',
} = process.env;

/** As much of `@octavus/client-sdk` as is used here. */
interface Chat {
  readonly messages: readonly { readonly role: string; readonly status: string; readonly parts: readonly object[] }[];
  readonly status: 'idle' | 'streaming' | 'error' | 'awaiting-input';
  readonly error: { readonly errorType: string; readonly message: string } | null;
  readonly pendingClientTools: Readonly<Record<string, readonly Asked[]>>;
  send(trigger: string, input: object): Promise<void>;
  stop(): void;
}

interface Asked {
  readonly args: object;
  submit(result: unknown): void;
  cancel(reason: string): void;
}

interface Sdk {
  OctavusChat: new (options: object) => Chat;
  createHttpTransport(options: {
    request(payload: object, options: { signal: AbortSignal }): Promise<Response>;
  }): object;
}

interface Core {
  safeParseStreamEvent(event: unknown): { readonly success: boolean; readonly data?: unknown };
}

const load = async (name: string) =>
  await import(/* @vite-ignore */ pathToFileURL(join(packages, 'node_modules', name, 'dist/index.js')).href);

const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };

const post = (path: string, body: object, signal: AbortSignal | null = null) =>
  fetch(`${url}/api/agents/${path}`, { method: 'POST', headers, body: JSON.stringify(body), signal });

describe.skipIf(packages === '')('the worker protocol’s packages', () => {
  const client = new AgentWorkerClient({ baseUrl: url, apiKey: secret });
  let sdk: Sdk;

  beforeAll(async () => {
    sdk = await load('@octavus/client-sdk');
    for (const definition of Object.values(definitions)) {
      await client.agents.create(definition).catch((error: unknown) => {
        if (!(error instanceof WorkerError) || error.status !== 409) throw error;
      });
    }
  });

  /** A chat with an agent, and the id of its last run. */
  function chatWith(agent: string, clientTools: object = {}) {
    const runs: string[] = [];
    const transport = sdk.createHttpTransport({
      request: async (payload, { signal }) => {
        const response = await post(`${agent}/stream`, payload, signal);
        runs.push(response.headers.get('content-location')?.split('/').at(-1) ?? '');
        return response;
      },
    });
    return { chat: new sdk.OctavusChat({ transport, clientTools }), runs };
  }

  const partsOf = (chat: Chat, type: string) =>
    chat.messages.flatMap(({ parts }) => parts).filter((part) => 'type' in part && part.type === type);

  it('show a text while it comes', async () => {
    const { chat } = chatWith('answer');

    await chat.send('user-message', { TOPIC: 'AI' });

    expect(chat.status).toBe('idle');
    expect(chat.messages.map(({ role, status }) => [role, status])).toEqual([['assistant', 'done']]);
    expect(partsOf(chat, 'text')).toMatchObject([{ text: 'You asked: AI', status: 'done' }]);
  });

  it('run tools of the browser', async () => {
    const tools = { 'web-search': async () => ['tea'], 'get-user-data': async () => Promise.reject(new Error('No.')) };
    const { chat } = chatWith('two-tools', tools);

    await chat.send('user-message', { TOPIC: 'tea' });
    await until(() => chat.status === 'error');

    expect(partsOf(chat, 'tool-call')).toMatchObject([
      { toolName: 'web-search', status: 'done', result: ['tea'] },
      { toolName: 'get-user-data', status: 'error', error: 'No.' },
    ]);
    expect(chat.error).toMatchObject({ errorType: 'tool_error' });
  });

  it('show an object, and what steps do', async () => {
    const { chat } = chatWith('review');

    await chat.send('user-message', { TOPIC: 'Rain' });

    expect(partsOf(chat, 'object')).toMatchObject([
      { typeName: 'Review', object: { title: 'Rain', stars: 5 }, status: 'done' },
    ]);
    expect(partsOf(chat, 'operation')).toMatchObject([
      { operationType: 'serialize-thread', name: 'Writing down', status: 'done' },
    ]);
  });

  it.each([
    ['submits', (asked: Asked) => asked.submit({ approved: true }), true],
    ['cancels', (asked: Asked) => asked.cancel('Not now.'), false],
  ])('ask a person, who %s', async (_, answer, approved) => {
    const { chat, runs } = chatWith('approval', { agent_worker_human_approval: 'interactive' });

    await chat.send('user-message', { PLAN: 'go on' });

    expect(chat.status).toBe('awaiting-input');
    const [asked] = chat.pendingClientTools.agent_worker_human_approval ?? [];
    expect(asked?.args).toHaveProperty('title');
    if (asked !== undefined) answer(asked);
    await until(() => chat.status === 'idle');
    expect(chat.pendingClientTools).toEqual({});
    expect(await client.workers.status('approval', runs[0] ?? '')).toMatchObject({
      status: 'completed',
      output: approved,
    });
  });

  it('stop a run', async () => {
    const { chat, runs } = chatWith('answer');
    const sent = chat.send('user-message', { TOPIC: 'slowly' });
    await until(() => partsOf(chat, 'text').length > 0);

    chat.stop();

    await sent;
    expect(chat.status).toBe('idle');
    await until(async () => (await client.workers.status('answer', runs[0] ?? '')).status === 'cancelled');
  });

  it('show why a run failed', async () => {
    const { chat } = chatWith('answer');

    await chat.send('user-message', { TOPIC: 'refuse this' });

    expect(chat.status).toBe('error');
    expect(chat.error).toMatchObject({ errorType: 'provider_error', message: expect.any(String) });
  });

  it('understand every event, but for those that are newer than they are', async () => {
    const { safeParseStreamEvent }: Core = await load('@octavus/core');
    const inputs: [string, object][] = [
      ['answer', { TOPIC: 'AI' }],
      ['answer', { TOPIC: 'refuse this' }],
      ['research', { TOPIC: 'tea' }],
      ['review', { TOPIC: 'Rain' }],
      ['two-tools', { TOPIC: 'tea' }],
      ['one-tool', { TOPIC: 'tea' }],
      ['approval', { PLAN: 'go on' }],
      ['nonsense', { FOR: 'a while' }],
    ];
    const seen: StreamEvent[] = [];
    for (const door of ['execute', 'stream']) {
      for (const [agent, input] of inputs) {
        for (let body: object | null = { type: 'start', input }; body !== null; ) {
          const events = eventsIn(await (await post(`${agent}/${door}`, body)).text());
          seen.push(...events);
          body = continuationOf(events, agent);
        }
      }
    }

    const isNewer = ({ type }: StreamEvent) => type.startsWith('worker-') || type === 'usage';
    const refused = seen.filter((event) => !safeParseStreamEvent(event).success);
    expect(refused.filter((event) => !isNewer(event))).toEqual([]);
    expect(new Set(refused.map(({ type }) => type))).toEqual(new Set(['worker-start', 'worker-result', 'usage']));
    const types = new Set(seen.map(({ type }) => type));
    for (const type of [
      'tool-request',
      'client-tool-request',
      'tool-output-error',
      'error',
      'block-end',
      'text-delta',
    ]) {
      expect(types).toContain(type);
    }
  });
});

function eventsIn(text: string): StreamEvent[] {
  const lines = text.split('\n').filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]');
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as StreamEvent);
}

/** The request that answers what a leg asks for; the tools of `one-tool` fail. */
function continuationOf(events: readonly StreamEvent[], agent: string): object | null {
  const [start] = events;
  const asked = events.find((event) => event.type === 'tool-request' || event.type === 'client-tool-request');
  if (asked === undefined || !('toolCalls' in asked) || start?.type !== 'start') return null;
  const answer = agent === 'one-tool' ? { error: 'No.' } : { result: { approved: true } };
  const toolResults = asked.toolCalls.map(({ toolCallId }) => ({ toolCallId, ...answer }));
  return { type: 'continue', executionId: start.executionId, toolResults };
}
