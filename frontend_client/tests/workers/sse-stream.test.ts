import { describe, expect, it } from 'vitest';
import { toSSEStream } from '../../src/workers/index.js';
import { delta, START } from './gateway.js';

const text = (stream: ReadableStream<Uint8Array>) => new Response(stream).text();

describe('events as a stream', () => {
  it('are a frame each, and the trailer', async () => {
    async function* events() {
      yield START;
      yield delta('Räin\n');
    }

    expect(await text(toSSEStream(events()))).toBe(
      'data: {"type":"start","executionId":"X"}\n\n' +
        'data: {"type":"text-delta","id":"t","delta":"Räin\\n"}\n\n' +
        'data: [DONE]\n\n',
    );
  });

  it('end with an error and no trailer when they throw', async () => {
    async function* events() {
      yield START;
      throw new Error('Boom.');
    }

    const frames = (await text(toSSEStream(events()))).split('\n\n');

    expect(frames).toHaveLength(3);
    expect(JSON.parse(frames[1]?.slice('data: '.length) ?? '')).toEqual({
      type: 'error',
      errorType: 'internal_error',
      message: 'Boom.',
      retryable: false,
      source: 'platform',
    });
  });

  it('show that the connection lives while nothing is said', async () => {
    let go = () => {};
    async function* events() {
      yield START;
      await new Promise<void>((resolve) => {
        go = resolve;
      });
    }
    const reader = toSSEStream(events(), { heartbeatMs: 5 }).getReader();
    const decode = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

    await reader.read();
    expect(decode((await reader.read()).value)).toBe(': heartbeat\n\n');
    expect(decode((await reader.read()).value)).toBe(': heartbeat\n\n');
    go();
    let last = '';
    for (let next = await reader.read(); !next.done; next = await reader.read()) last = decode(next.value);
    expect(last).toBe('data: [DONE]\n\n');
  });

  it('are asked for no faster than they are read', async () => {
    let count = 0;
    async function* events() {
      for (;;) {
        count += 1;
        yield delta(`${count}`);
      }
    }
    const reader = toSSEStream(events()).getReader();

    for (let times = 0; times < 3; times += 1) await reader.read();
    await new Promise((resolve) => setImmediate(resolve));
    expect(count).toBeLessThanOrEqual(5);

    await reader.cancel();
  });
});
