import { describe, expect, it } from 'vitest';
import type { ToolHandlers } from '../../src/workers/index.js';
import { all, json, ScriptedGateway, START, STOP, stream } from './gateway.js';

const call = (id: string, toolName = 'search', args: object = { query: id }) => ({ toolCallId: id, toolName, args });
const ASKS = { type: 'finish', finishReason: 'tool-calls', executionId: 'X' } as const;

/** A leg that asks for tools. */
const asking = (...toolCalls: object[]) =>
  stream([
    [1, START],
    [2, { type: 'tool-request', toolCalls }],
    [3, ASKS],
  ]);
const ENDING = stream([
  [4, START],
  [5, { type: 'tool-output-available', toolCallId: '1', output: 'found' }],
  [6, STOP],
]);

async function answersTo(tools: ToolHandlers, ...toolCalls: object[]): Promise<unknown> {
  const gateway = await ScriptedGateway.start();
  gateway.script = [asking(...toolCalls), ENDING];
  await all(gateway.workers().execute('a', {}, { tools }));
  return gateway.asked[1]?.body.toolResults;
}

describe('tools with a handler', () => {
  it('run, and the run goes on with what they came to', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [asking(call('1')), ENDING];
    const search = async ({ query }: { query: string }) => ({ found: query });

    const events = await all(gateway.workers().execute('a', {}, { tools: { search } }));

    expect(events.map(({ type }) => type)).toEqual(['start', 'start', 'tool-output-available', 'finish']);
    expect(gateway.paths).toEqual(['POST /api/agents/a/execute', 'POST /api/agents/a/execute']);
    expect(gateway.asked[1]?.body).toEqual({
      type: 'continue',
      executionId: 'X',
      toolResults: [{ toolCallId: '1', toolName: 'search', result: { found: '1' } }],
    });
  });

  it('run side by side', async () => {
    const waiting = new Map<string, () => void>();
    const search = ({ query }: { query: string }) =>
      new Promise((resolve) => {
        waiting.set(query, () => resolve(query));
        if (waiting.size === 3) for (const go of [...waiting.values()].reverse()) go();
      });

    expect(await answersTo({ search }, call('1'), call('2'), call('3'))).toEqual(
      ['1', '2', '3'].map((id) => ({ toolCallId: id, toolName: 'search', result: id })),
    );
  });

  it('may run again and again', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [asking(call('1')), asking(call('2')), asking(call('3')), ENDING];

    await all(gateway.workers().execute('a', {}, { tools: { search: () => 'x' } }));

    expect(gateway.asked.slice(1).map(({ body }) => body.toolResults[0].toolCallId)).toEqual(['1', '2', '3']);
  });

  it.each<[string, () => unknown, object]>([
    [
      'throws',
      () => {
        throw new Error('No network.');
      },
      { error: 'No network.' },
    ],
    ['rejects with a text', () => Promise.reject('so what'), { error: 'so what' }],
    ['throws an empty error', () => Promise.reject(new Error('')), { error: 'The tool failed.' }],
    ['returns nothing', () => undefined, { result: null }],
    ['returns null', () => null, { result: null }],
    ['returns what JSON writes otherwise', () => new Date(0), { result: '1970-01-01T00:00:00.000Z' }],
    ['returns what JSON cannot hold', () => 1n, { error: expect.stringContaining('BigInt') }],
    ['returns too much', () => 'x'.repeat(5 * 1024 * 1024), { error: 'The result is too large.' }],
  ])('answer all the same when the handler %s', async (_, search, answer) => {
    expect(await answersTo({ search }, call('1'))).toEqual([{ toolCallId: '1', toolName: 'search', ...answer }]);
  });

  it('learn which call it is, and whether somebody still waits', async () => {
    const contexts: object[] = [];
    const search = (_: object, context: object) => void contexts.push(context);

    await answersTo({ search }, call('1'));

    expect(contexts).toEqual([
      { toolCallId: '1', toolName: 'search', executionId: 'X', signal: expect.any(AbortSignal) },
    ]);
  });

  it('run once, though the stream breaks after it has asked for them', async () => {
    const gateway = await ScriptedGateway.start();
    const request = { type: 'tool-request', toolCalls: [call('1')] };
    gateway.script = [
      stream(
        [
          [1, START],
          [2, request],
        ],
        'cut',
      ),
      stream([[3, ASKS]]),
      (response) => json(response, 503, { error: 'later' }),
      ENDING,
    ];
    let count = 0;

    await all(gateway.workers().execute('a', {}, { tools: { search: () => ++count } }));

    expect(count).toBe(1);
    expect(gateway.paths).toEqual([
      'POST /api/agents/a/execute',
      'GET /api/agents/a/executions/X/events?cursor=2&audience=server',
      'POST /api/agents/a/execute',
      'POST /api/agents/a/execute',
    ]);
    expect(gateway.asked[2]?.body).toEqual(gateway.asked[3]?.body);
  });

  it('send their results again when it is not known whether they arrived', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [asking(call('1')), (response) => response.socket?.destroy(), stream([], 'cut'), ENDING];

    const events = await all(gateway.workers().execute('a', {}, { tools: { search: () => 'x' } }));

    expect(events.at(-1)).toEqual(STOP);
    expect(gateway.paths).toEqual(Array(4).fill('POST /api/agents/a/execute'));
  });
});

describe('tools without a handler', () => {
  it('are asked of the caller, who sends the results later', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [asking(call('1', 'approve')), ENDING];
    const workers = gateway.workers();

    expect(await all(workers.execute('a', {}))).toEqual([
      START,
      { type: 'client-tool-request', executionId: 'X', toolCalls: [call('1', 'approve')] },
      { type: 'finish', finishReason: 'client-tool-calls', executionId: 'X' },
    ]);

    const rest = await all(workers.continue('a', 'X', [{ toolCallId: '1', result: true }]));
    expect(rest.map(({ type }) => type)).toEqual(['start', 'tool-output-available', 'finish']);
    expect(gateway.asked[1]?.body).toEqual({
      type: 'continue',
      executionId: 'X',
      toolResults: [{ toolCallId: '1', result: true }],
    });
    expect(gateway.cancelled).toEqual([]);
  });

  it('come with the results of those that have one', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [asking(call('1'), call('2', 'approve'))];

    const events = await all(gateway.workers().execute('a', {}, { tools: { search: () => 'found' } }));

    expect(events[1]).toEqual({
      type: 'client-tool-request',
      executionId: 'X',
      toolCalls: [call('2', 'approve')],
      serverToolResults: [{ toolCallId: '1', toolName: 'search', result: 'found' }],
    });
  });

  it('are those whose name only an object inherits, too', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [asking(call('1', 'constructor'))];

    const events = await all(gateway.workers().execute('a', {}, { tools: {} }));

    expect(events.map(({ type }) => type)).toEqual(['start', 'client-tool-request', 'finish']);
  });

  it('cannot be asked for before the run has told its id', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      stream([
        [1, { type: 'tool-request', toolCalls: [call('1')] }],
        [2, { type: 'finish', finishReason: 'tool-calls' }],
      ]),
    ];

    expect(await all(gateway.workers().execute('a', {}))).toMatchObject([
      { type: 'error', errorType: 'internal_error' },
    ]);
  });
});
