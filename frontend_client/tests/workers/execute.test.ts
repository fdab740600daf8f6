import { describe, expect, it } from 'vitest';
import { WorkersApi } from '../../src/workers/index.js';
import { all, delta, json, ScriptedGateway, START, STOP, stream, USAGE } from './gateway.js';

const RUN = stream([
  [1, START],
  [2, delta('Rain')],
  [3, STOP],
  [4, USAGE],
]);

describe('a run', () => {
  it('is one request, with the key, the input, and a key of its own against running twice', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [RUN];

    const events = await all(gateway.workers().execute('a worker', { TOPIC: 'tea' }));

    expect(events).toEqual([START, delta('Rain'), STOP, USAGE]);
    expect(gateway.paths).toEqual(['POST /api/agents/a%20worker/execute']);
    const [{ headers, body } = { headers: {} as Record<string, string>, body: null }] = gateway.asked;
    expect(body).toEqual({ type: 'start', input: { TOPIC: 'tea' } });
    expect(headers).toMatchObject({
      apikey: 'sb_secret_test',
      authorization: 'Bearer sb_secret_test',
      accept: 'text/event-stream',
      'content-type': 'application/json',
    });
    expect(headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('may have a key that the caller chose, and the token of a user, fresh for each request', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [(response) => json(response, 503, { error: 'later' }), RUN];
    let count = 0;
    const accessToken = async () => {
      count += 1;
      return `token ${count}`;
    };

    await all(gateway.workers({ accessToken }).execute('a', {}, { idempotencyKey: 'order 7' }));

    expect(gateway.asked.map(({ headers }) => headers['idempotency-key'])).toEqual(['order 7', 'order 7']);
    expect(gateway.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer token 1', 'Bearer token 2']);
    expect(gateway.asked.map(({ headers }) => headers.apikey)).toEqual(['sb_secret_test', 'sb_secret_test']);
  });

  it('throws what the function that gives the token throws', async () => {
    const gateway = await ScriptedGateway.start();
    const accessToken = () => Promise.reject(new Error('signed out'));

    await expect(all(gateway.workers({ accessToken }).execute('a', {}))).rejects.toThrow('signed out');
    expect(gateway.asked).toEqual([]);
  });

  it('asks nothing before its first event is asked for', async () => {
    const gateway = await ScriptedGateway.start();
    const events = gateway.workers().execute('a', {});

    await events.return(undefined);

    expect(await all(events)).toEqual([]);
    expect(gateway.asked).toEqual([]);
  });

  it('goes over another fetch, and over an address with slashes at its end', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [RUN];
    const seen: string[] = [];
    const watched: typeof fetch = (input, init) => {
      seen.push(String(input));
      return fetch(input, init);
    };

    await all(new WorkersApi({ baseUrl: `${gateway.url}/base//`, fetch: watched }).execute('a', {}));

    expect(seen).toEqual([`${gateway.url}/base/api/agents/a/execute`]);
  });
});

describe('a refusal', () => {
  it.each([408, 429, 502, 503, 504])('with %i is tried again, with the same key, and may succeed', async (status) => {
    const gateway = await ScriptedGateway.start();
    const refuse = (response: Parameters<typeof json>[0]) => json(response, status, { error: 'later' });
    gateway.script = [refuse, refuse, RUN];

    const events = await all(gateway.workers().execute('a', {}));

    expect(events.map(({ type }) => type)).toEqual(['start', 'text-delta', 'finish', 'usage']);
    expect(new Set(gateway.asked.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
  });

  it.each([
    [400, 'validation_error', false, 1],
    [401, 'authentication_error', false, 1],
    [402, 'quota_exceeded_error', false, 1],
    [403, 'permission_error', false, 1],
    [404, 'not_found_error', false, 1],
    [408, 'unknown_error', false, 3],
    [409, 'unknown_error', false, 1],
    [413, 'unknown_error', false, 1],
    [429, 'rate_limit_error', true, 3],
    [500, 'internal_error', true, 1],
    [502, 'internal_error', true, 3],
    [503, 'provider_overloaded', true, 3],
    [504, 'provider_timeout', true, 3],
  ] as const)('with %i is one event, %s', async (status, errorType, retryable, tries) => {
    const gateway = await ScriptedGateway.start();
    gateway.script = Array(9).fill((response: Parameters<typeof json>[0]) =>
      json(response, status, { error: 'No.', code: 'because' }),
    );

    const events = await all(gateway.workers().execute('a', {}));

    expect(events).toEqual([
      { type: 'error', errorType, message: 'No.', retryable, source: 'platform', code: 'because' },
    ]);
    expect(gateway.asked).toHaveLength(tries);
  });

  it('is waited for as long as it says, within bounds', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = Array(3).fill((response: Parameters<typeof json>[0]) =>
      json(response, 429, { error: 'Slow down.' }, { 'retry-after': '3600' }),
    );

    const events = await all(gateway.workers().execute('a', {}));

    expect(events).toMatchObject([{ type: 'error', errorType: 'rate_limit_error', retryAfter: 3600 }]);
  });

  it.each([
    ['{"error":{"message":"Nested.","code":"x"}}', 'Nested.', 'x'],
    ['{"code":"PGRST301","message":"JWT expired"}', 'JWT expired', 'PGRST301'],
    ['<html>', 'Forbidden', 'permission_error'],
    ['', 'Forbidden', 'permission_error'],
    ['null', 'Forbidden', 'permission_error'],
  ])('in another shape (%s) is told all the same', async (body, message, code) => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [(response) => response.writeHead(403).end(body)];

    expect(await all(gateway.workers().execute('a', {}))).toMatchObject([{ type: 'error', message, code }]);
  });

  it('of the socket is tried three times', async () => {
    const gateway = await ScriptedGateway.start();
    const workers = gateway.workers();
    await gateway.stop();

    const events = await all(workers.execute('a', {}));

    expect(events).toMatchObject([
      { type: 'error', errorType: 'internal_error', source: 'client', code: 'connection_lost', retryable: true },
    ]);
    expect(events[0]).toHaveProperty('message', expect.stringContaining('ECONNREFUSED'));
  });
});
