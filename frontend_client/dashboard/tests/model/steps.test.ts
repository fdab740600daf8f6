import { describe, expect, test } from 'vitest';
import { insideOf, ownError, runOf, type Step, stateOf } from '../../src/model/steps';
import type { JsonObject } from '../../src/model/task';
import { at, events } from './samples';

type Event = readonly [number, string, JsonObject?, number?];

const started: Event = [0, 'worker-start', { workerId: 'w', workerSlug: 'two', step: 'run:start' }];

function begin(seconds: number, place: string, fields: JsonObject = {}): Event {
  const name = place.split('.').at(-1)?.split('@')[0] ?? '';
  const said = { blockId: place, blockName: name, blockType: 'next-message', workerId: 'w', step: `block:${place}` };
  return [seconds, 'block-start', { ...said, ...fields }];
}

function end(seconds: number, place: string, fields: JsonObject = {}): Event {
  return [seconds, 'block-end', { blockId: place, workerId: 'w', step: `block:${place}`, ...fields }];
}

function outline(steps: readonly Step[]): readonly unknown[] {
  return steps.map((step) => {
    const label = [step.branch, step.rounds.map((round) => `#${round + 1}`).join(''), step.name];
    return [label.filter(Boolean).join(' '), stateOf(step, 'processing'), ...outline(insideOf(step))];
  });
}

describe('a run', () => {
  test('is a tree of steps: branches, and rounds in their order', () => {
    const { steps, slug } = runOf(
      events(
        started,
        begin(1, 'steps.Both', { blockType: 'parallel' }),
        begin(1, 'steps.Both.branches.Left%2E.A'),
        begin(1, 'steps.Both.branches.Right.B'),
        end(2, 'steps.Both.branches.Left%2E.A', { usage: { totalTokens: 7 } }),
        begin(2, 'steps.Each', { blockType: 'for-each' }),
        begin(2, 'steps.Each.steps.C@1'),
        begin(2, 'steps.Each.steps.C@0'),
      ),
    );
    expect(slug).toBe('two');
    expect(outline(steps)).toEqual([
      ['Both', 'processing', ['Left. A', 'completed'], ['Right B', 'processing']],
      ['Each', 'processing', ['#1 C', 'processing'], ['#2 C', 'processing']],
    ]);
    expect(steps[0] && insideOf(steps[0])[0]?.tokens).toBe(7);
  });

  test('passes over steps that are hidden, and over what only looks like being inside', () => {
    const { steps } = runOf(
      events(started, begin(1, 'steps.If.then.A'), begin(1, 'steps.Loop'), begin(1, 'steps.Loop.steps.If.then.B@2')),
    );
    expect(outline(steps)).toEqual([
      ['A', 'processing'],
      ['Loop', 'processing', ['#3 B', 'processing']],
    ]);
  });

  test('has the steps of a worker under the step that runs it, in each round', () => {
    const call = 'steps.Loop.steps.Call@1';
    const { steps } = runOf(
      events(
        started,
        begin(1, 'steps.Loop'),
        begin(1, call, { blockType: 'run-worker' }),
        [1, 'worker-start', { workerId: 'inner', workerSlug: 'short', step: `worker:${call}` }],
        begin(1, `${call}/steps.Repeat`, { workerId: 'inner' }),
        begin(1, `${call}/steps.Repeat.steps.D@0`, { workerId: 'inner' }),
      ),
    );
    const [loop] = steps;
    expect(outline(steps)).toEqual([
      ['Loop', 'processing', ['#2 Call', 'processing', ['Repeat', 'processing', ['#1 D', 'processing']]]],
    ]);
    expect(loop && insideOf(loop)[0]?.detail).toBe('short');
  });

  test('has the steps of a worker that a model calls under the call', () => {
    const { steps } = runOf(
      events(
        started,
        begin(1, 'steps.Ask'),
        [1, 'worker-start', { workerId: 'inner', workerSlug: 'short', step: 'worker-0.0-start-0:steps.Ask' }],
        begin(1, 'steps.Ask:0.0/steps.E', { workerId: 'inner' }),
        [2, 'human-request', { key: 'k', title: 'Well?', step: 'block:steps.Ask:0.0/steps.E' }],
      ),
    );
    expect(outline(steps)).toEqual([['Ask', 'waiting', ['short', 'waiting', ['E', 'waiting']]]]);
  });

  test('has what was said under the step that said it', () => {
    const step = 'block:steps.A';
    const { steps } = runOf(
      events(
        started,
        begin(1, 'steps.A'),
        [1, 'text-start', { id: 't', step }],
        [1, 'text-delta', { id: 't', delta: 'Hel', step }],
        [2, 'tool-input-available', { toolCallId: 'c', toolName: 'look', input: { a: 1 }, step: 'tool-0:steps.A' }],
        [3, 'tool-output-available', { toolCallId: 'c', output: 2, step: 'tool-0:steps.A' }],
      ),
      'lo',
    );
    expect(steps[0]?.parts).toMatchObject([
      { type: 'said', text: 'Hello' },
      { type: 'called', name: 'look', input: { a: 1 }, output: 2, endedAt: at(3) },
    ]);
  });

  test('tells a failure once, where it happened', () => {
    const { steps } = runOf(
      events(
        started,
        begin(1, 'steps.L'),
        begin(1, 'steps.L.steps.A@0'),
        end(2, 'steps.L.steps.A@0', { error: 'no key' }),
        end(2, 'steps.L', { error: 'no key' }),
        begin(3, 'steps.S'),
        end(4, 'steps.S', { error: 'It was stopped.' }),
      ),
    );
    expect(steps.map((step) => stateOf(step, 'failed'))).toEqual(['failed', 'cancelled']);
    expect(steps.map(ownError)).toEqual(['', '']);
    expect(steps[0] && insideOf(steps[0]).map(ownError)).toEqual(['no key']);
  });

  test('begins again with another attempt, and a step counts from its first beginning', () => {
    const { steps } = runOf(
      events(
        [0, 'attempt-start', { attempt: 1, keep: [] }],
        started,
        begin(1, 'steps.A'),
        end(2, 'steps.A'),
        begin(3, 'steps.B'),
        [3, 'human-request', { key: 'ask:steps.B', title: 'Well?', step: 'block:steps.B' }],
        [9, 'attempt-start', { attempt: 2, keep: ['run:start', 'block:steps.A'] }, 2],
        begin(9, 'steps.B'),
        [9, 'human-answer', { key: 'ask:steps.B', response: { approved: true }, step: 'block:steps.B' }, 2],
      ),
    );
    expect(outline(steps)).toEqual([
      ['A', 'completed'],
      ['B', 'processing'],
    ]);
    expect(steps[1]).toMatchObject({ startedAt: at(3), parts: [{ name: 'answered', output: { approved: true } }] });
  });

  test('keeps a call of the client whose step begins again with the answer', () => {
    const call = { toolCallId: 'steps.A:1', toolName: 'search', input: {}, step: 'announced-1:steps.A' };
    const { steps } = runOf(
      events(
        started,
        begin(1, 'steps.A'),
        [1, 'tool-input-available', call],
        [5, 'attempt-start', { attempt: 2, keep: ['run:start', 'announced-1:steps.A'] }, 2],
        begin(5, 'steps.A'),
        [5, 'tool-output-available', { toolCallId: 'steps.A:1', output: 1, step: 'told-1-1:steps.A' }, 2],
      ),
    );
    expect(steps[0]?.parts).toMatchObject([{ name: 'search', output: 1, endedAt: at(5) }]);
  });

  test('waits with all that is around the question', () => {
    const { steps } = runOf(
      events(started, begin(1, 'steps.L'), begin(1, 'steps.L.steps.A@0'), [
        2,
        'human-request',
        { key: 'ask', title: 'Well?', step: 'block:steps.L.steps.A@0' },
      ]),
    );
    expect(
      steps.map((step) => [stateOf(step, 'waiting'), ...insideOf(step).map((one) => stateOf(one, 'waiting'))]),
    ).toEqual([['waiting', 'waiting']]);
  });
});
