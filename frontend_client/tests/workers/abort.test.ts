import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { isAbortError, toSSEStream, type WorkerExecuteOptions } from '../../src/workers/index.js';
import { until } from '../project.js';
import { all, delta, result, ScriptedGateway, START, STOP, stream } from './gateway.js';

const STOPPED = { type: 'finish', finishReason: 'stop', executionId: 'X' };
const SPEAKING = stream(
  [
    [1, START],
    [2, delta('Ra')],
  ],
  'open',
);
const ASKING = stream([
  [1, START],
  [2, { type: 'tool-request', toolCalls: [{ toolCallId: '1', toolName: 'search', args: {} }] }],
  [3, { type: 'finish', finishReason: 'tool-calls', executionId: 'X' }],
]);
const ID = '0198b2c4-7f51-7c3e-9c55-2f7d1a3b4c5d';

async function speaking(): Promise<ScriptedGateway> {
  const gateway = await ScriptedGateway.start();
  gateway.script = [SPEAKING];
  return gateway;
}

describe('a signal', () => {
  it('that was aborted before starts nothing', async () => {
    const gateway = await speaking();

    const events = await all(gateway.workers().execute('a', {}, { signal: AbortSignal.abort() }));

    expect(events).toEqual([{ type: 'finish', finishReason: 'stop' }]);
    expect(gateway.asked).toEqual([]);
  });

  it('stops a run in the middle of its stream, and nothing is thrown', async () => {
    const gateway = await speaking();
    const controller = new AbortController();
    const seen: unknown[] = [];

    for await (const event of gateway.workers().execute('a', {}, { signal: controller.signal })) {
      seen.push(event);
      if (event.type === 'text-delta') setImmediate(() => controller.abort());
    }

    expect(seen).toEqual([START, delta('Ra'), STOPPED]);
    expect(gateway.cancelled).toEqual(['X']);
    expect(gateway.asked[0]?.isGone).toBe(true);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('gives nothing more of what has come already', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      stream([
        [1, START],
        [2, delta('a')],
        [3, delta('b')],
        [4, STOP],
      ]),
    ];
    const controller = new AbortController();
    const seen: string[] = [];

    for await (const event of gateway.workers().execute('a', {}, { signal: controller.signal })) {
      seen.push(event.type);
      if (event.type === 'text-delta') controller.abort();
    }

    expect(seen).toEqual(['start', 'text-delta', 'finish']);
  });

  it('stops a run while a tool is at work, which learns of it', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [ASKING];
    const controller = new AbortController();
    let heard: AbortSignal | null = null;
    const search = (_: object, { signal }: { signal: AbortSignal }) => {
      heard = signal;
      setImmediate(() => controller.abort());
      return new Promise(() => {}); // for ever
    };

    const events = await all(gateway.workers().execute('a', {}, { tools: { search }, signal: controller.signal }));

    expect(events).toEqual([START, STOPPED]);
    expect(gateway.cancelled).toEqual(['X']);
    expect(heard).toHaveProperty('aborted', true);
    expect(gateway.asked).toHaveLength(2);
  });

  it.each([
    ['its head', { 'content-location': `/api/agents/a/executions/${ID}` }, []],
    ['its first event', {}, [[1, { type: 'start', executionId: ID }]]],
  ] as const)('stops a run before the answer has come, once %s has told which it is', async (_, headers, rows) => {
    const gateway = await ScriptedGateway.start();
    let answer = () => {};
    gateway.script = [
      (response, asked) => {
        answer = () => stream(rows, 'open', headers)(response, asked);
      },
    ];
    const controller = new AbortController();
    const events = gateway.workers().execute('a', {}, { signal: controller.signal });

    const first = events.next();
    await until(() => gateway.asked.length === 1);
    controller.abort();

    expect(await first).toEqual({ done: false, value: { type: 'finish', finishReason: 'stop' } });
    const end = events.next();
    answer();
    expect(await end).toEqual({ done: true, value: undefined });
    expect(gateway.cancelled).toEqual([ID]);
  });

  it('does not wait for ever until a run has told which it is', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [() => {}];
    const controller = new AbortController();
    const events = gateway.workers({}, { stopMs: 50 }).execute('a', {}, { signal: controller.signal });

    const rest = all(events);
    await until(() => gateway.asked.length === 1);
    controller.abort();

    expect(await rest).toEqual([{ type: 'finish', finishReason: 'stop' }]);
    await until(() => gateway.asked[0]?.isGone);
  });

  it('ends the wait between two connections', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [stream([[1, START]], 'cut')];
    const controller = new AbortController();
    const workers = gateway.workers({}, { firstDelayMs: 60_000, longestDelayMs: 60_000 });

    const rest = all(workers.execute('a', {}, { signal: controller.signal }));
    await until(() => gateway.asked[0]?.isGone);
    setTimeout(() => controller.abort(), 50);

    expect(await rest).toEqual([START, STOPPED]);
    expect(gateway.cancelled).toEqual(['X']);
  });

  it('after the end changes nothing', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      stream(
        [
          [1, START],
          [2, STOP],
        ],
        'open',
      ),
    ];
    const controller = new AbortController();

    const seen: unknown[] = [];
    for await (const event of gateway.workers().execute('a', {}, { signal: controller.signal })) {
      seen.push(event);
      if (event.type === 'finish') controller.abort();
    }

    expect(seen).toEqual([START, STOP]);
    expect(gateway.cancelled).toEqual([]);
  });

  it('stops a run with a key of the caller as well', async () => {
    const gateway = await speaking();
    const controller = new AbortController();
    const options = { signal: controller.signal, idempotencyKey: 'mine' };

    for await (const event of gateway.workers().execute('a', {}, options)) {
      if (event.type === 'text-delta') controller.abort();
    }

    expect(gateway.cancelled).toEqual(['X']);
  });

  it('stops a run that was continued', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [() => {}];
    const controller = new AbortController();
    const results = [{ toolCallId: '1', result: 1 }];

    const rest = all(gateway.workers().continue('a', 'X', results, { signal: controller.signal }));
    await until(() => gateway.asked.length === 1);
    controller.abort();

    expect(await rest).toEqual([STOPPED]);
    expect(gateway.cancelled).toEqual(['X']);
  });

  it('rejects what only waits for the result', async () => {
    const gateway = await speaking();
    const controller = new AbortController();
    const generated = gateway.workers().generate('a', {}, { signal: controller.signal });
    await until(() => gateway.asked.length === 1);

    controller.abort('enough');

    const error: unknown = await generated.catch((thrown: unknown) => thrown);
    expect(isAbortError(error)).toBe(true);
    expect(error).toHaveProperty('cause', 'enough');
    await until(() => gateway.cancelled.length === 1);
  });

  it('after the result ends the stream, and leaves the run alone', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      stream(
        [
          [1, START],
          [2, result('Rain')],
        ],
        'open',
      ),
    ];
    const controller = new AbortController();
    const seen: unknown[] = [];

    for await (const event of gateway.workers().execute('a', {}, { signal: controller.signal })) {
      seen.push(event);
      if (event.type === 'worker-result') controller.abort();
    }

    expect(seen).toEqual([START, result('Rain'), STOPPED]);
    expect(gateway.cancelled).toEqual([]);
  });

  it('that was aborted before stops a run that waits for tools', async () => {
    const gateway = await ScriptedGateway.start();
    const options = { signal: AbortSignal.abort() };

    const events = await all(gateway.workers().continue('a', 'X', [{ toolCallId: '1', result: 1 }], options));

    expect(events).toEqual([STOPPED]);
    expect(gateway.paths).toEqual(['POST /api/agents/a/executions/X/cancel']);
  });

  it('is told again when it is not known whether the gateway has heard, and no more than three times', async () => {
    const gateway = await speaking();
    gateway.onCancel = (response) => response.socket?.destroy();
    const controller = new AbortController();

    for await (const event of gateway.workers().execute('a', {}, { signal: controller.signal })) {
      if (event.type === 'text-delta') controller.abort();
    }

    expect(gateway.cancelled).toEqual(['X', 'X', 'X']);
  });
});

describe('leaving the loop', () => {
  async function leave(gateway: ScriptedGateway, at: string, options: WorkerExecuteOptions = {}): Promise<void> {
    for await (const event of gateway.workers().execute('a', {}, options)) if (event.type === at) return;
    throw new Error(`there was no ${at}`);
  }

  it('stops the run', async () => {
    const gateway = await speaking();

    await leave(gateway, 'text-delta');

    expect(gateway.cancelled).toEqual(['X']);
    await until(() => gateway.asked[0]?.isGone);
  });

  it('leaves a run alone that has given its result', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      stream(
        [
          [1, START],
          [2, result('Rain')],
        ],
        'open',
      ),
    ];

    await leave(gateway, 'worker-result');

    await until(() => gateway.asked[0]?.isGone);
    expect(gateway.cancelled).toEqual([]);
  });

  it('stops a run when only a worker that it calls has given its result', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      stream(
        [
          [1, START],
          [2, { ...result('Rain'), workerId: 'inner' }],
        ],
        'open',
      ),
    ];

    await leave(gateway, 'worker-result');

    expect(gateway.cancelled).toEqual(['X']);
  });

  it('leaves a run alone that waits for tools of the caller', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [ASKING];

    await leave(gateway, 'client-tool-request');

    expect(gateway.cancelled).toEqual([]);
  });

  it('leaves a run alone that has a key of the caller', async () => {
    const gateway = await speaking();

    await leave(gateway, 'text-delta', { idempotencyKey: 'mine' });

    await until(() => gateway.asked[0]?.isGone);
    expect(gateway.cancelled).toEqual([]);
  });

  it('by an error stops the run as well', async () => {
    const gateway = await speaking();
    const run = async () => {
      for await (const { type } of gateway.workers().execute('a', {})) {
        if (type === 'text-delta') throw new Error('mine');
      }
    };

    await expect(run()).rejects.toThrow('mine');
    expect(gateway.cancelled).toEqual(['X']);
  });

  it('is noticed though nothing comes, when somebody hangs up on a stream that is passed on', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [stream([[1, START]], 'open')];
    const reader = toSSEStream(gateway.workers().execute('a', {})).getReader();
    await reader.read();

    await reader.cancel();

    await until(() => gateway.cancelled.length === 1);
  });
});
