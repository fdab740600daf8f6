import { describe, expect, test } from 'vitest';
import { attemptsOf, segmentsOf, spent } from '../../src/model/attempts';
import type { Task, TaskEvent } from '../../src/model/task';
import { at, events, task } from './samples';

const told = (one: Task, said: readonly TaskEvent[], now = 100) => {
  const attempts = attemptsOf(one, said);
  const segments = segmentsOf(one, attempts, Date.parse(at(now)));
  const lengths = segments.map((part) => [part.kind, (part.to - part.from) / 1000]);
  return { attempts, endings: attempts.map((attempt) => attempt.ending), segments, lengths };
};

describe('the bar of a task', () => {
  test('only waits while nobody has claimed it', () => {
    expect(told(task(), [], 7).lengths).toEqual([['waited', 7]]);
  });

  test('waits and runs to its end', () => {
    const done = task({ status: 'completed', attempt: 1, started_at: at(2), finished_at: at(5) });
    const { endings, lengths } = told(
      done,
      events([2.1, 'attempt-start', { attempt: 1, resume: 'fresh' }], [4.9, 'finish']),
    );
    expect(lengths).toEqual([
      ['waited', 2],
      ['ran', 3],
    ]);
    expect(endings).toEqual(['completed']);
  });

  test('knows an attempt that said nothing from the row alone', () => {
    const silent = task({ status: 'completed', attempt: 1, started_at: at(1), finished_at: at(3) });
    expect(told(silent, []).lengths).toEqual([
      ['waited', 1],
      ['ran', 2],
    ]);
  });

  test('waits again between two attempts, and tells why the first failed', () => {
    const running = task({ status: 'processing', attempt: 2, started_at: at(18) });
    const { attempts, lengths } = told(
      running,
      events(
        [2, 'attempt-start', { attempt: 1, resume: 'fresh' }],
        [9, 'attempt-failed', { code: 'rate_limited', error: 'Too many.', retryInS: 8 }],
        [18, 'attempt-start', { attempt: 2, resume: 'retry' }, 2],
      ),
      30,
    );
    expect(lengths).toEqual([
      ['waited', 2],
      ['ran', 7],
      ['waited', 9],
      ['ran', 12],
    ]);
    expect(attempts[0]).toMatchObject({ number: 1, ending: 'failed', code: 'rate_limited', retryInS: 8 });
    expect(attempts[1]).toMatchObject({ number: 2, ending: 'running', to: null });
  });

  test('tells waiting for a person from waiting for a worker', () => {
    const asked = task({ status: 'waiting', attempt: 0, started_at: at(1), updated_at: at(4) });
    const said = events(
      [1, 'attempt-start', { attempt: 1, resume: 'fresh' }],
      [4, 'human-request', { title: 'Publish?' }],
    );
    const { endings, lengths } = told(asked, said, 20);
    expect(endings).toEqual(['asked']);
    expect(lengths).toEqual([
      ['waited', 1],
      ['ran', 3],
      ['asked', 16],
    ]);
  });

  test('goes on after the answer came', () => {
    const done = task({ status: 'completed', attempt: 1, started_at: at(30), finished_at: at(32) });
    const said = events(
      [1, 'attempt-start', { attempt: 1, resume: 'fresh' }],
      [4, 'human-request'],
      [30, 'attempt-start', { attempt: 1, resume: 'answered' }],
      [32, 'finish'],
    );
    expect(told(done, said).lengths).toEqual([
      ['waited', 1],
      ['ran', 3],
      ['asked', 26],
      ['ran', 2],
    ]);
  });

  test('shows a new claim that has not spoken yet', () => {
    const rescued = task({ status: 'processing', attempt: 2, started_at: at(50) });
    const said = events(
      [1, 'attempt-start', { attempt: 1, resume: 'fresh' }],
      [9, 'text-delta', { id: 'a', delta: 'x' }],
    );
    const { endings, lengths } = told(rescued, said, 60);
    expect(endings).toEqual(['given back', 'running']);
    expect(lengths).toEqual([
      ['waited', 1],
      ['ran', 8],
      ['waited', 41],
      ['ran', 10],
    ]);
  });

  test('rests between its failure and the day somebody ran it again', () => {
    const redriven = task({ status: 'completed', attempt: 2, started_at: at(90), finished_at: at(91) });
    const said = events(
      [1, 'attempt-start', { attempt: 1, resume: 'fresh' }],
      [3, 'error', { code: 'invalid_payload', message: 'No prompt.' }],
      [90, 'attempt-start', { attempt: 2, resume: 'retry' }, 2],
      [91, 'finish', {}, 2],
    );
    const { attempts, lengths } = told(redriven, said);
    expect(attempts[0]).toMatchObject({ ending: 'failed', code: 'invalid_payload', error: 'No prompt.' });
    expect(lengths).toEqual([
      ['waited', 1],
      ['ran', 2],
      ['ended', 87],
      ['ran', 1],
    ]);
  });

  test('takes the reason of a final failure from the response', () => {
    const failed = task({
      status: 'failed',
      attempt: 1,
      started_at: at(1),
      finished_at: at(2),
      response_payload: { error: 'Nobody answered.', code: 'human_timeout', retryable: false },
    });
    const { attempts } = told(failed, events([1, 'attempt-start', { attempt: 1, resume: 'fresh' }]));
    expect(attempts).toHaveLength(1);
    expect(attempts[0]).toMatchObject({ ending: 'failed', code: 'human_timeout', error: 'Nobody answered.' });
  });

  test('waits, and is not ended, when a failed attempt is pending again', () => {
    const pending = task({
      status: 'pending',
      attempt: 1,
      started_at: at(1),
      updated_at: at(4),
      run_at: at(9),
    });
    const said = events(
      [1, 'attempt-start', { attempt: 1, resume: 'fresh' }],
      [4, 'attempt-failed', { code: 'upstream_error', retryInS: 5 }],
    );
    expect(told(pending, said, 6).lengths).toEqual([
      ['waited', 1],
      ['ran', 3],
      ['waited', 2],
    ]);
  });

  test('has no gap, no overlap and no stretch backwards, whatever the order of its clocks', () => {
    const odd = task({ status: 'completed', attempt: 3, started_at: at(5), finished_at: at(4) });
    const said = events(
      [3, 'attempt-start'],
      [2, 'attempt-failed', { retryInS: 1 }],
      [1, 'attempt-start'],
      [9, 'finish'],
    );
    const { segments } = told(odd, said);
    for (const [index, part] of segments.entries()) {
      expect(part.to).toBeGreaterThan(part.from);
      expect(part.from).toBe(segments[index - 1]?.to ?? Date.parse(at(0)));
    }
  });
});

test('time spent is summed by kind', () => {
  const done = task({ status: 'completed', started_at: at(2), finished_at: at(5) });
  const segments = segmentsOf(done, attemptsOf(done, []), 0);
  expect(spent(segments)).toEqual({ waited: 2, ran: 3, asked: 0, ended: 0 });
});
