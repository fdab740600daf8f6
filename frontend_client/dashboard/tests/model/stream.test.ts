import { describe, expect, test } from 'vitest';
import { partsOf, streamedText, visibleEvents } from '../../src/model/stream';
import { at, events } from './samples';

describe('what a task says', () => {
  test('is its text, joined block by block', () => {
    const said = events(
      [1, 'text-start', { id: 'a' }],
      [1, 'text-delta', { id: 'a', delta: 'Hel' }],
      [2, 'text-delta', { id: 'a', delta: 'lo' }],
      [2, 'text-end', { id: 'a' }],
      [3, 'text-delta', { id: 'b', delta: 'again' }],
    );
    expect(streamedText(said)).toBe('Hello\n\nagain');
  });

  test('is withdrawn by a new attempt, except what finished steps said', () => {
    const said = events(
      [1, 'attempt-start', { attempt: 1, keep: [] }],
      [2, 'text-delta', { id: 'a', delta: 'kept', step: 'draft' }],
      [3, 'text-delta', { id: 'b', delta: 'dropped' }],
      [4, 'attempt-start', { attempt: 2, keep: ['draft'] }, 2],
      [5, 'text-delta', { id: 'c', delta: 'new' }, 2],
    );
    expect(visibleEvents(said).map((event) => event.seq)).toEqual([2, 5]);
    expect(streamedText(said)).toBe('kept\n\nnew');
  });

  test('goes on with text that is not stored yet', () => {
    const said = events([1, 'text-delta', { id: 'a', delta: 'Hel' }]);
    expect(partsOf(said, 'lo')).toMatchObject([{ text: 'Hello' }]);
    expect(partsOf([], 'Hi')).toMatchObject([{ type: 'text', text: 'Hi' }]);
  });

  test('leaves reasoning out of the answer', () => {
    const said = events([1, 'reasoning-delta', { id: 'a', delta: 'hm' }], [2, 'text-delta', { id: 'a', delta: 'yes' }]);
    expect(streamedText(said)).toBe('yes');
    expect(partsOf(said)).toHaveLength(2);
  });

  test('tells a tool from its input to its output', () => {
    const [tool] = partsOf(
      events(
        [1, 'tool-input-start', { toolCallId: 't', toolName: 'read_pdf' }],
        [1, 'tool-input-available', { toolCallId: 't', toolName: 'read_pdf', input: { file: 'a' } }],
        [3, 'tool-output-available', { toolCallId: 't', output: 7 }],
      ),
    );
    expect(tool).toMatchObject({ name: 'read_pdf', input: { file: 'a' }, output: 7, error: null, endedAt: at(3) });
  });

  test('tells what went wrong with a tool', () => {
    const [tool] = partsOf(
      events(
        [1, 'tool-input-available', { toolCallId: 't', toolName: 'read_pdf', input: {} }],
        [2, 'tool-output-error', { toolCallId: 't', error: 'no text' }],
      ),
    );
    expect(tool).toMatchObject({ error: 'no text', output: undefined, endedAt: at(2) });
  });

  test('nests steps in each other', () => {
    const parts = partsOf(
      events(
        [1, 'block-start', { blockId: 'a', blockName: 'Outer' }],
        [2, 'block-start', { blockId: 'b', blockName: 'Inner' }],
        [3, 'block-end', { blockId: 'b' }],
        [4, 'block-end', { blockId: 'a' }],
        [5, 'block-start', { blockId: 'c', blockName: 'Next' }],
      ),
    );
    expect(parts.map((part) => part.type === 'step' && [part.name, part.depth, part.endedAt])).toEqual([
      ['Outer', 0, at(4)],
      ['Inner', 1, at(3)],
      ['Next', 0, null],
    ]);
  });

  test('survives events it does not know, and events without their fields', () => {
    const said = events(
      [1, 'seat-reserved', { row: 3 }],
      [2, 'text-delta'],
      [3, 'tool-output-available'],
      [4, 'block-end'],
    );
    expect(() => partsOf(said)).not.toThrow();
  });
});
