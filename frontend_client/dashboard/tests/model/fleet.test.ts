import { describe, expect, test } from 'vitest';
import { type FleetStatus, headline, outlook, sortWorkers, type Worker } from '../../src/model/fleet';
import { at } from './samples';

const plain = (text: string) => text.replaceAll('\u00a0', ' ');

function status(fields: Partial<FleetStatus> = {}): FleetStatus {
  return {
    at: at(0),
    counts: { pending: 0, scheduled: 0, processing: 0, waiting: 0 },
    counted_to: 10_000,
    oldest_pending_s: null,
    recent: { since: at(0), completed: 41, failed: 0, cancelled: 0 },
    workers: { live: 3, late: 0, gone: 0 },
    slots: { used: 0, total: 30 },
    paused_kinds: [],
    ...fields,
  };
}

function worker(fields: Partial<Worker> = {}): Worker {
  return {
    id: 'w',
    name: 'atlas',
    host: 'h',
    pid: 1,
    kinds: ['chat'],
    version: '0.1.0',
    concurrency: 4,
    in_flight: 3,
    held: 3,
    state: 'running',
    health: 'live',
    heartbeat_age_s: 2,
    lease_s: 30,
    tasks_return_in_s: null,
    started_at: at(0),
    drain_requested_at: null,
    ...fields,
  };
}

const pending = (count: number) => ({ pending: count, scheduled: 0, processing: 0, waiting: 0 });

describe('the headline', () => {
  test('of a fleet where all is well counts', () => {
    const line = headline(status({ counts: pending(12), oldest_pending_s: 4 }));
    expect(line.tone).toBe('good');
    expect(plain(line.sentence)).toBe('healthy · 3 workers · 12 waiting (oldest 4 s) · 41 done in 1 h · 0 failed');
  });

  test.each<[string, Partial<FleetStatus>, string, string]>([
    [
      'no worker, work waits',
      { workers: { live: 0, late: 0, gone: 2 }, counts: pending(9) },
      'bad',
      'no worker · 9 wait',
    ],
    ['no worker, no work', { workers: { live: 0, late: 0, gone: 0 } }, 'warn', 'nothing to do'],
    ['a late worker', { workers: { live: 2, late: 1, gone: 0 } }, 'warn', '1 worker without a heartbeat'],
    [
      'most tasks fail',
      { recent: { since: at(0), completed: 4, failed: 6, cancelled: 0 } },
      'bad',
      '6 of 10 tasks failed',
    ],
    [
      'a pause that is felt',
      { paused_kinds: ['chat'], oldest_pending_s: 90, counts: pending(5) },
      'warn',
      'chat paused · 5 wait',
    ],
    ['free slots that nobody fills', { oldest_pending_s: 90, counts: pending(5) }, 'warn', 'although slots are free'],
    [
      'too few slots',
      { oldest_pending_s: 400, counts: pending(10_000), slots: { used: 30, total: 30 } },
      'warn',
      'all 30 slots busy · 10,000+ wait',
    ],
  ])('names what is wrong and what to do: %s', (_, fields, tone, words) => {
    const line = headline(status(fields));
    expect(line.tone).toBe(tone);
    expect(plain(line.sentence)).toContain(words);
    expect(line.advice).not.toBe('');
  });

  test('keeps quiet about a queue that moves behind busy slots, and about a few failures', () => {
    const busy = { oldest_pending_s: 90, counts: pending(5), slots: { used: 30, total: 30 } };
    expect(headline(status(busy)).tone).toBe('good');
    expect(headline(status({ recent: { since: at(0), completed: 1, failed: 4, cancelled: 0 } })).tone).toBe('good');
  });
});

describe('the outlook of a worker', () => {
  test.each<[string, Partial<Worker>, string]>([
    ['well', {}, ''],
    ['draining', { state: 'draining' }, 'Draining: 3 tasks to finish, then it stops.'],
    ['asked to drain, idle', { drain_requested_at: at(1), held: 0 }, 'Draining; it stops now.'],
    [
      'late',
      { health: 'late', heartbeat_age_s: 18, tasks_return_in_s: 12 },
      'No heartbeat for 18 s. Its 3 tasks return in 12 s.',
    ],
    [
      'late with one task',
      { health: 'late', heartbeat_age_s: 18, tasks_return_in_s: 12, held: 1 },
      'No heartbeat for 18 s. Its 1 task returns in 12 s.',
    ],
    [
      'gone',
      { health: 'gone', state: 'lost', heartbeat_age_s: 40, tasks_return_in_s: 0 },
      'No heartbeat for 40 s. Its 3 tasks go back to the queue now.',
    ],
    [
      'gone, and nobody left',
      { health: 'gone', state: 'lost', heartbeat_age_s: 40 },
      'No heartbeat for 40 s. Its 3 tasks wait until another worker is there to take them.',
    ],
    ['gone, idle', { health: 'gone', state: 'lost', held: 0 }, 'Gone. It held no task.'],
  ])('%s', (_, fields, sentence) => {
    expect(plain(outlook(worker(fields)))).toBe(sentence);
  });
});

test('workers that need somebody come first', () => {
  const sorted = sortWorkers([
    worker({ name: 'b' }),
    worker({ name: 'a' }),
    worker({ name: 'z', health: 'gone' }),
    worker({ name: 'y', health: 'late' }),
  ]);
  expect(sorted.map((one) => one.name)).toEqual(['y', 'z', 'a', 'b']);
});
