/** The chart of what ended lately: minutes, their stacks, and which of them a pointer or a key selects. */
import type { Status } from './task';

export type Outcome = Extract<Status, 'completed' | 'failed' | 'cancelled'>;

/** From the baseline up: failures stand on it, so that their heights can be compared. */
export const STACK: readonly Outcome[] = ['failed', 'cancelled', 'completed'];

export interface Minute extends Readonly<Record<Outcome, number>> {
  /** Start of the minute, in milliseconds. */
  readonly at: number;
}

export interface Bar {
  readonly outcome: Outcome;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const MINUTE_MS = 60_000;

/** The last `minutes` minutes, oldest first, the running one last; those of which nothing is known are zero. */
export function fillMinutes(known: readonly Minute[], minutes: number, now: number): readonly Minute[] {
  const byStart = new Map(known.map((minute) => [startOfMinute(minute.at), minute]));
  const last = startOfMinute(now);
  return Array.from({ length: minutes }, (_, index) => {
    const at = last - (minutes - 1 - index) * MINUTE_MS;
    return { completed: 0, failed: 0, cancelled: 0, ...byStart.get(at), at };
  });
}

/** Count ended tasks by minute: for a user who may not ask the fleet. */
export function minutesOfTasks(rows: readonly { status: Status; finished_at: string | null }[]): readonly Minute[] {
  const found = new Map<number, { at: number; completed: number; failed: number; cancelled: number }>();
  for (const row of rows) {
    if (row.finished_at === null || !isOutcome(row.status)) continue;
    const at = startOfMinute(Date.parse(row.finished_at));
    const minute = found.get(at) ?? { at, completed: 0, failed: 0, cancelled: 0 };
    minute[row.status] += 1;
    found.set(at, minute);
  }
  return [...found.values()];
}

export function totals(minutes: readonly Minute[]): Readonly<Record<Outcome, number>> {
  const sum = { completed: 0, failed: 0, cancelled: 0 };
  for (const minute of minutes) for (const outcome of STACK) sum[outcome] += minute[outcome];
  return sum;
}

/** The smallest round number that is not below the highest stack; at least 5. */
export function ceiling(minutes: readonly Minute[]): number {
  const highest = Math.max(5, ...minutes.map((minute) => minute.completed + minute.failed + minute.cancelled));
  const size = 10 ** Math.floor(Math.log10(highest));
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * size).find((step) => step >= highest) ?? highest;
}

/** Where the bars stand. What is not zero is at least two pixels high: one failure among thousands must be seen. */
export function layout(minutes: readonly Minute[], width: number, height: number): readonly Bar[] {
  const top = ceiling(minutes);
  const slot = width / minutes.length;
  const gap = slot > 5 ? 2 : slot > 3 ? 1 : 0;
  return minutes.flatMap((minute, index) => {
    let base = height;
    return STACK.filter((outcome) => minute[outcome] > 0).map((outcome) => {
      const tall = Math.min(Math.max((minute[outcome] / top) * height, 2), base);
      base -= tall;
      return { outcome, x: index * slot + gap / 2, y: base, width: slot - gap, height: tall };
    });
  });
}

/** Which minute is under a place of the chart. */
export function minuteAt(x: number, width: number, minutes: number): number {
  return Math.min(minutes - 1, Math.max(0, Math.floor((x / width) * minutes)));
}

/** The time that minutes `a` to `b` (in either order) take up, in milliseconds: start included, end excluded. */
export function rangeOf(minutes: readonly Minute[], a: number, b: number): readonly [number, number] | null {
  const first = minutes[Math.min(a, b)];
  const last = minutes[Math.max(a, b)];
  return first && last ? [first.at, last.at + MINUTE_MS] : null;
}

export function startOfMinute(at: number): number {
  return Math.floor(at / MINUTE_MS) * MINUTE_MS;
}

function isOutcome(status: Status): status is Outcome {
  return (STACK as readonly Status[]).includes(status);
}
