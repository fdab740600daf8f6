import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deltaOf, type FollowInput, type FollowState, hasGap, initialState, reduce } from '../src/core/follow-state.js';
import type { JsonObject } from '../src/core/json.js';
import type { AgentTask, AgentTaskEvent } from '../src/core/task.js';

const ID = 'a5b0c1bd-0000-4000-8000-000000000001';

function task(status: AgentTask['status'], minute: number, change: Partial<AgentTask> = {}): AgentTask {
  const updated_at = `2026-01-01T00:${String(minute).padStart(2, '0')}:00+00:00`;
  return { id: ID, status, attempt: 1, cancel_requested_at: null, updated_at, ...change } as AgentTask;
}

function event(seq: number, type: string, data: JsonObject = {}, attempt = 1): AgentTaskEvent {
  return { task_id: ID, seq, type, data, attempt, user_id: null, created_at: '2026-01-01T00:00:00+00:00' };
}

const says = (seq: number, delta: string, attempt = 1, step?: string) =>
  event(seq, 'text-delta', { id: 'a', delta, ...(step === undefined ? {} : { step }) }, attempt);

const part = (seq: number, number: number, text: string, attempt = 1): FollowInput => ({
  type: 'delta',
  delta: { seq, part: number, text, attempt },
});

const events = (...rows: AgentTaskEvent[]): FollowInput => ({ type: 'events', events: rows });

const given = (...inputs: FollowInput[]): FollowState => inputs.reduce(reduce, initialState(null));

describe('the row', () => {
  it.each<[string, FollowInput[], string]>([
    ['a later change wins', [changed(task('pending', 1)), changed(task('processing', 2))], 'processing'],
    [
      'an earlier change that comes late is dropped',
      [changed(task('processing', 2)), changed(task('pending', 1))],
      'processing',
    ],
    ['an end is never taken back', [changed(task('completed', 1)), changed(task('pending', 2))], 'completed'],
    ['an end counts even with an earlier time', [changed(task('processing', 2)), changed(task('failed', 1))], 'failed'],
    [
      'what was read before a change is older than the change',
      [changed(task('processing', 2)), { type: 'looked', task: task('pending', 1), changes: 0 }],
      'processing',
    ],
    [
      'what was read after the last change is current, whatever its time',
      [changed(task('processing', 2)), { type: 'looked', task: task('waiting', 1), changes: 1 }],
      'waiting',
    ],
  ])('%s', (_, inputs, status) => {
    expect(given(...inputs).task?.status).toBe(status);
  });

  it('stays the same object when the same version comes again', () => {
    const state = given(changed(task('processing', 1)));
    expect(reduce(state, { type: 'looked', task: task('processing', 1), changes: 1 })).toBe(state);
  });

  it('tells microseconds apart', () => {
    const at = (updated_at: string, status: AgentTask['status']) => changed(task(status, 0, { updated_at }));
    const later = at('2026-01-01T00:00:00.123457+00:00', 'waiting');
    const earlier = at('2026-01-01T00:00:00.123456+00:00', 'processing');
    expect(given(later, earlier).task?.status).toBe('waiting');
  });
});

function changed(row: AgentTask): FollowInput {
  return { type: 'changed', task: row };
}

describe('events', () => {
  it('are held back behind a gap, and shown in order when it is filled', () => {
    const gap = given(events(says(1, 'a')), events(says(3, 'c')));
    expect([gap.text, hasGap(gap)]).toEqual(['a', true]);

    const healed = reduce(gap, events(says(2, 'b'), says(3, 'c')));

    expect([healed.text, hasGap(healed)]).toEqual(['abc', false]);
    expect(healed.stored.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  it('of an attempt that was given up are dropped, except those of finished steps', () => {
    const state = given(
      events(says(1, 'plan. ', 1, 'plan'), says(2, 'half an ans')),
      events(event(3, 'attempt-start', { attempt: 2, resume: 'retry', keep: ['plan'] }, 2), says(4, 'answer', 2)),
    );
    expect(state.text).toBe('plan. answer');
    expect(state.events.map(({ seq }) => seq)).toEqual([1, 3, 4]);
    expect(state.stored).toHaveLength(4);
  });

  it('end the same, in whatever order, however often and in whatever pieces they come', () => {
    const story = [
      event(1, 'start', { executionId: ID }),
      says(2, 'one '),
      says(3, 'kept ', 1, 's'),
      event(4, 'attempt-start', { attempt: 2, resume: 'retry', keep: ['s'] }, 2),
      says(5, 'two ', 2),
      says(6, 'three', 2),
      event(7, 'finish', { finishReason: 'stop', executionId: ID }, 2),
    ];
    const news: FollowInput[] = [
      ...story.map((row) => events(row)),
      ...story.map((row) => events(row)),
      events(...story),
      part(2, 0, 'on'),
      part(2, 1, 'e '),
      part(5, 0, 'tw', 2),
      part(5, 1, 'o ', 2),
      part(6, 0, 'three', 2),
    ];
    const whole = given(events(...story));
    fc.assert(
      fc.property(fc.shuffledSubarray(news, { minLength: 1 }), (some) => {
        const state = reduce(given(...some), events(...story));
        expect(state.text).toBe('kept two three');
        expect(state.events).toEqual(whole.events);
        expect(state.stored).toEqual(story);
        expect([state.ahead.size, state.parts.size]).toEqual([0, 0]);
      }),
    );
  });

  it('never show more than was said, whatever is missing', () => {
    const said = 'abcdefgh';
    const news = [...said].flatMap((letter, index) => [events(says(index + 1, letter)), part(index + 1, 0, letter)]);
    fc.assert(
      fc.property(fc.shuffledSubarray(news), (some) => {
        expect(said.startsWith(given(...some).text)).toBe(true);
      }),
    );
  });
});

describe('parts', () => {
  it('are shown at once and replaced by the row', () => {
    const streaming = given(events(says(1, 'Once ')), part(2, 0, 'upon '), part(2, 1, 'a ti'));
    expect(streaming.text).toBe('Once upon a ti');

    const stored = reduce(streaming, events(says(2, 'upon a time ')));

    expect(stored.text).toBe('Once upon a time ');
  });

  it('of the event after the next one wait for the row between, which may say more than its parts', () => {
    const early = given(part(1, 0, 'upon a ti'), part(2, 0, 'there'));
    expect([early.text, hasGap(early)]).toEqual(['upon a ti', true]);

    const stored = reduce(early, events(says(1, 'upon a time ')));

    expect([stored.text, hasGap(stored)]).toEqual(['upon a time there', false]);
  });

  it('wait for those before them', () => {
    expect(given(part(1, 1, 'b')).text).toBe('');
    expect(given(part(1, 1, 'b'), part(1, 0, 'a')).text).toBe('ab');
    expect(given(part(2, 0, 'c'), part(1, 1, 'b')).text).toBe('');
  });

  it('of an attempt that was given up are dropped', () => {
    const start = event(2, 'attempt-start', { attempt: 2, resume: 'rescued', keep: [] }, 2);
    const state = given(events(says(1, 'a')), part(2, 0, 'zombie'), part(3, 0, 'zombie'), events(start));
    expect(state.text).toBe('');
    expect(reduce(state, part(3, 0, 'late zombie')).text).toBe('');
    expect(reduce(state, part(3, 0, 'new', 2)).text).toBe('new');
  });

  it('of a later attempt take the place of an earlier one', () => {
    expect(given(part(1, 0, 'old '), part(1, 1, 'old'), part(1, 0, 'new', 2)).text).toBe('new');
    expect(given(part(1, 0, 'new', 2), part(1, 0, 'old')).text).toBe('new');
  });

  it('are read from a broadcast, and anything else is not', () => {
    const whole = {
      task_id: ID,
      seq: 4,
      part: 1,
      attempt: 2,
      events: [{ type: 'text-delta', data: { id: 'a', delta: 'x' } }],
    };
    expect(deltaOf(whole, ID)).toEqual({ seq: 4, part: 1, attempt: 2, text: 'x' });
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(whole)), fc.jsonValue(), (key, value) => {
        const delta = deltaOf({ ...whole, [key]: value } as JsonObject, ID);
        expect(delta === null || typeof delta.text === 'string').toBe(true);
      }),
    );
    expect(deltaOf({ ...whole, task_id: 'another' }, ID)).toBeNull();
    expect(deltaOf({ ...whole, seq: -1 }, ID)).toBeNull();
    expect(deltaOf({ ...whole, events: null }, ID)).toBeNull();
  });
});
