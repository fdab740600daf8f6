import { describe, expect, it } from 'vitest';
import { WorkerError } from '../../src/workers/index.js';
import { all, json, type Row, result, ScriptedGateway, START, STOP, stream, USAGE } from './gateway.js';

async function generated(...events: object[]): Promise<unknown> {
  const gateway = await ScriptedGateway.start();
  gateway.script = [stream(events.map((event, index): Row => [index + 1, event]))];
  return gateway
    .workers()
    .generate('a', {})
    .catch((error: unknown) => error);
}

describe('the result of a run', () => {
  it('is its output, and what it cost', async () => {
    const { cost, tokens } = USAGE;
    expect(await generated(START, result('Rain'), STOP, USAGE)).toEqual({
      executionId: 'X',
      output: 'Rain',
      usage: { cost, tokens },
    });
  });

  it('is none of a worker that it calls', async () => {
    const inner = { ...result('inner'), workerId: 'Y' };
    expect(await generated(START, inner, result('outer'), inner, STOP)).toEqual({ executionId: 'X', output: 'outer' });
  });

  it('may be without an output, and may be null', async () => {
    const without = { type: 'worker-result', workerId: 'X' };
    expect(await generated(START, without, STOP)).toEqual({ executionId: 'X' });
    expect(await generated(START, result(null), STOP)).toEqual({ executionId: 'X', output: null });
  });

  it('is an error with all that is known of it', async () => {
    const failed = { type: 'worker-result', workerId: 'X', error: 'Too many.' };
    const provider = { name: 'openai', statusCode: 429 };
    const why = { errorType: 'rate_limit_error', message: 'Too many.', retryable: true, source: 'provider' };

    const error = await generated(START, failed, {
      type: 'error',
      ...why,
      code: 'rate_limited',
      retryAfter: 7,
      provider,
    });

    expect(error).toBeInstanceOf(WorkerError);
    expect(error).toMatchObject({ ...why, name: 'WorkerError', code: 'rate_limited', retryAfter: 7, provider });
    expect(error).toMatchObject({ executionId: 'X' });
  });

  it('is an error when the gateway refuses', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [(response) => json(response, 404, { error: 'There is no such agent.', code: 'not_found' })];

    await expect(gateway.workers().generate('a', {})).rejects.toMatchObject({
      message: 'There is no such agent.',
      errorType: 'not_found_error',
      code: 'not_found',
    });
  });

  it('is an error when there is none, and when tools are asked for that nobody runs', async () => {
    expect(await generated(START, STOP)).toMatchObject({ code: 'no_result' });
    const call = { toolCallId: '1', toolName: 'approve', args: {} };
    const error = await generated(
      START,
      { type: 'tool-request', toolCalls: [call] },
      { ...STOP, finishReason: 'tool-calls' },
    );
    expect(error).toMatchObject({
      code: 'client_tools',
      executionId: 'X',
      message: expect.stringContaining('approve'),
    });
  });
});

describe('a run', () => {
  it('can be looked at and stopped by its id', async () => {
    const gateway = await ScriptedGateway.start();
    const run = { executionId: 'X', agentId: 'A', status: 'processing', cursor: 3 };
    gateway.script = [(response) => json(response, 503, { error: 'later' }), (response) => json(response, 200, run)];
    const workers = gateway.workers();

    expect(await workers.status('a', 'X')).toEqual(run);
    await workers.cancel('a', 'X');

    expect(gateway.paths).toEqual([
      'GET /api/agents/a/executions/X',
      'GET /api/agents/a/executions/X',
      'POST /api/agents/a/executions/X/cancel',
    ]);
  });

  it('ends its stream with what went wrong, and nothing is thrown', async () => {
    const gateway = await ScriptedGateway.start();
    const error = { type: 'error', errorType: 'tool_error', message: 'No.', retryable: false, source: 'tool' } as const;
    gateway.script = [
      stream([
        [1, START],
        [2, error],
      ]),
    ];

    expect(await all(gateway.workers().execute('a', {}))).toEqual([START, error]);
  });
});
