import { describe, expect, test } from 'vitest';
import { ceiling, fillMinutes, layout, minuteAt, minutesOfTasks, rangeOf, totals } from '../../src/model/activity';

const MINUTE = 60_000;
const NOW = 1_000 * MINUTE + 12_345;
const quiet = { completed: 0, failed: 0, cancelled: 0 };

describe('minutes', () => {
  test('that nobody knows of are zero, and the running one is the last', () => {
    const filled = fillMinutes([{ at: 998 * MINUTE, ...quiet, completed: 3 }], 4, NOW);
    expect(filled.map((minute) => [minute.at / MINUTE, minute.completed])).toEqual([
      [997, 0],
      [998, 3],
      [999, 0],
      [1000, 0],
    ]);
  });

  test('before the window are left out', () => {
    expect(totals(fillMinutes([{ at: 900 * MINUTE, ...quiet, failed: 9 }], 60, NOW)).failed).toBe(0);
  });

  test('are counted from rows by when and how they ended', () => {
    const ended = (status: 'completed' | 'failed' | 'processing', seconds: number) => ({
      status,
      finished_at: status === 'processing' ? null : new Date(999 * MINUTE + seconds * 1000).toISOString(),
    });
    const found = minutesOfTasks([
      ended('completed', 1),
      ended('completed', 59),
      ended('failed', 61),
      ended('processing', 0),
    ]);
    expect(found).toEqual([
      { at: 999 * MINUTE, ...quiet, completed: 2 },
      { at: 1000 * MINUTE, ...quiet, failed: 1 },
    ]);
  });
});

describe('bars', () => {
  test('stand on each other, failures at the bottom', () => {
    const bars = layout([{ at: 0, completed: 6, failed: 3, cancelled: 1 }], 10, 100);
    expect(bars.map((bar) => [bar.outcome, bar.y, bar.height])).toEqual([
      ['failed', 70, 30],
      ['cancelled', 60, 10],
      ['completed', 0, 60],
    ]);
  });

  test('show one failure among thousands', () => {
    const [failed] = layout([{ at: 0, completed: 5000, failed: 1, cancelled: 0 }], 10, 100);
    expect(failed).toMatchObject({ outcome: 'failed', height: 2 });
  });

  test('stay within the chart, however high the stack', () => {
    for (const bar of layout([{ at: 0, completed: 9999, failed: 9999, cancelled: 9999 }], 10, 72)) {
      expect(bar.y).toBeGreaterThanOrEqual(0);
      expect(bar.y + bar.height).toBeLessThanOrEqual(72.001);
    }
  });

  test.each([
    [0, 5],
    [5, 5],
    [9, 10],
    [61, 80],
    [2431, 2500],
  ])('of %i reach to %i', (highest, top) => {
    expect(ceiling([{ at: 0, ...quiet, completed: highest }])).toBe(top);
  });
});

describe('choosing', () => {
  const minutes = fillMinutes([], 60, NOW);

  test('a place finds its minute, and beyond the ends the first or last', () => {
    expect([minuteAt(-5, 600, 60), minuteAt(15, 600, 60), minuteAt(9999, 600, 60)]).toEqual([0, 1, 59]);
  });

  test('a range begins with the earlier minute and ends after the later one, dragged either way', () => {
    expect(rangeOf(minutes, 59, 57)).toEqual([998 * MINUTE, 1001 * MINUTE]);
    expect(rangeOf(minutes, 57, 59)).toEqual([998 * MINUTE, 1001 * MINUTE]);
  });

  test('nothing is chosen on an empty chart', () => {
    expect(rangeOf([], 0, 0)).toBeNull();
  });
});
