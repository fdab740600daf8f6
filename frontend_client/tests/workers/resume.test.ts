import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StreamEvent } from '../../src/workers/index.js';
import { until } from '../project.js';
import {
  type Answer,
  all,
  cut,
  delta,
  framesOf,
  json,
  type Row,
  ScriptedGateway,
  START,
  STOP,
  stream,
  USAGE,
} from './gateway.js';

const ROWS: Row[] = [
  [3, START],
  [4, delta('Ra')],
  [5, { type: 'text-end', id: 't' }, START, delta('in')],
  [6, STOP],
  [7, USAGE],
];
const EVENTS = ROWS.flatMap(([, ...events]) => events);

/** What the gateway does: send the rows after the cursor that the request names. */
function rest(response: Parameters<Answer>[0], { path }: Parameters<Answer>[1]): void {
  const cursor = Number(new URL(path, 'http://x').searchParams.get('cursor') ?? 0);
  stream(ROWS.filter(([seq]) => seq > cursor))(response, {} as never);
}

describe('a stream that breaks', () => {
  it('goes on by its cursor, wherever it broke: no event is given twice, and none is left out', async () => {
    const frames = framesOf(ROWS).join('');
    const gateway = await ScriptedGateway.start();
    const workers = gateway.workers();
    // With the first event the run is known, and many more connections may break than before.
    const first = framesOf(ROWS)[0]?.length ?? 0;
    const cuts = fc
      .tuple(fc.integer({ min: first, max: frames.length }), fc.array(fc.nat(frames.length), { maxLength: 5 }))
      .map(([begin, others]) => [begin, ...others]);
    await fc.assert(
      fc.asyncProperty(cuts, async (lengths) => {
        const partly =
          (length: number): Answer =>
          (response, { path }) => {
            const cursor = Number(new URL(path, 'http://x').searchParams.get('cursor') ?? 0);
            const text = framesOf(ROWS.filter(([seq]) => seq > cursor)).join('');
            response.writeHead(200, { 'content-type': 'text/event-stream' }).write(text.slice(0, length));
            cut(response);
          };
        gateway.script = [...lengths.map(partly), rest];

        expect(await all(workers.execute('a', {}))).toEqual(EVENTS);
      }),
      { numRuns: 60 },
    );
  });

  it('is asked for from behind its last whole row, which may be told by several events', async () => {
    const gateway = await ScriptedGateway.start();
    const partly: Answer = (response) => {
      stream([], 'open')(response, {} as never);
      response.write(framesOf(ROWS).slice(0, 4).join(''));
      cut(response);
    };
    gateway.script = [partly, rest];

    expect(await all(gateway.workers().execute('a', {}))).toEqual(EVENTS);
    expect(gateway.paths).toEqual([
      'POST /api/agents/a/execute',
      'GET /api/agents/a/executions/X/events?cursor=4&audience=server',
    ]);
  });

  it('before anything was said is begun by the same request again', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [stream([], 'cut'), rest];

    expect(await all(gateway.workers().execute('a', {}))).toEqual(EVENTS);
    expect(gateway.paths).toEqual(['POST /api/agents/a/execute', 'POST /api/agents/a/execute']);
    expect(gateway.asked[0]?.headers['idempotency-key']).toBe(gateway.asked[1]?.headers['idempotency-key']);
  });

  it('after `finish` is still asked for the usage; without it, nothing more is said', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [stream(ROWS.slice(0, 4), 'cut'), ...Array(20).fill(stream([], 'cut'))];

    expect(await all(gateway.workers().execute('a', {}))).toEqual(EVENTS.slice(0, -1));
  });

  it('ends with an error when nobody answers any more, and the run is not stopped', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [stream(ROWS.slice(0, 2), 'cut'), ...Array(20).fill(stream([], 'cut'))];

    const events = await all(gateway.workers().execute('a', {}));

    expect(events.slice(0, 2)).toEqual(EVENTS.slice(0, 2));
    expect(events.slice(2)).toMatchObject([{ type: 'error', code: 'connection_lost', retryable: true }]);
    expect(gateway.asked).toHaveLength(9);
    expect(gateway.cancelled).toEqual([]);
  });

  it('ends with what the gateway says when it cannot go on', async () => {
    const gateway = await ScriptedGateway.start();
    const gone: Answer = (response) => json(response, 404, { error: 'There is no such run.', code: 'not_found' });
    gateway.script = [stream(ROWS.slice(0, 2), 'cut'), gone];

    const events = await all(gateway.workers().execute('a', {}));

    expect(events.at(-1)).toMatchObject({ type: 'error', errorType: 'not_found_error', code: 'not_found' });
  });

  it.each([
    ['the trailer comes too early', stream(ROWS.slice(0, 2), 'done')],
    [
      'a frame is no JSON',
      ((response) => {
        stream(ROWS.slice(0, 2), 'open')(response, {} as never);
        response.write('id: 5\ndata: {"type":"text-de\n\n');
      }) as Answer,
    ],
    [
      'a frame is no event',
      ((response) => {
        stream(ROWS.slice(0, 2), 'open')(response, {} as never);
        response.write('id: 5\ndata: [1]\n\n');
      }) as Answer,
    ],
  ])('because %s goes on as well', async (_, answer) => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [answer, rest];

    expect(await all(gateway.workers().execute('a', {}))).toEqual(EVENTS);
  });
});

describe('a silent connection', () => {
  it('is given up for a new one, before its head and after', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [() => {}, stream(ROWS.slice(0, 2), 'open'), rest];

    const events = await all(gateway.workers({}, { idleMs: 1500 }).execute('a', {}));

    expect(events).toEqual(EVENTS);
    await until(() => gateway.asked[0]?.isGone && gateway.asked[1]?.isGone);
    expect(gateway.asked.map(({ isGone }) => isGone)).toEqual([true, true, false]);
  });

  it('is none as long as comments come', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [
      async (response) => {
        stream(ROWS.slice(0, 2), 'open')(response, {} as never);
        for (let count = 0; count < 20; count += 1) {
          response.write(': heartbeat\n\n');
          await new Promise((resolve) => setTimeout(resolve, 200)); // longer, all in all, than the silence allowed
        }
        for (const frame of framesOf(ROWS.slice(2))) response.write(frame);
        response.end('data: [DONE]\n\n');
      },
    ];

    expect(await all(gateway.workers({}, { idleMs: 3000 }).execute('a', {}))).toEqual(EVENTS);
    expect(gateway.asked).toHaveLength(1);
  });
});

it('keeps types that are newer than this package', async () => {
  const gateway = await ScriptedGateway.start();
  const strange = { type: 'from-the-future', what: 1 };
  gateway.script = [
    stream([
      [1, START],
      [2, strange],
      [3, STOP],
    ]),
  ];

  const events: readonly StreamEvent[] = await all(gateway.workers().execute('a', {}));

  expect(events).toEqual([START, strange, STOP]);
});
