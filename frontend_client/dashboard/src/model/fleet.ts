/** The fleet as an operator sees it; shapes are those of the functions `agent_worker_*` that docs/operate.md lists. */
import { coarse, count, plural } from './format';
import type { JsonObject } from './task';

export interface Worker {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly kinds: readonly string[];
  readonly version: string;
  readonly concurrency: number;
  /** Slots used, by its own word. */
  readonly in_flight: number;
  /** Tasks it holds, by the database's. */
  readonly held: number;
  readonly state: 'running' | 'draining' | 'lost';
  readonly health: 'live' | 'late' | 'gone';
  readonly heartbeat_age_s: number;
  readonly lease_s: number;
  /** Late or gone: when its tasks go back; null: it lives, or nobody is left to take them. */
  readonly tasks_return_in_s: number | null;
  readonly started_at: string;
  readonly drain_requested_at: string | null;
}

export interface Kind {
  readonly kind: string;
  /** Whether any worker ever offered it; tasks of others fail after a minute. */
  readonly is_known: boolean;
  readonly is_paused: boolean;
  readonly is_limited: boolean;
  readonly pending: number;
  readonly counted_to: number;
  readonly oldest_s: number | null;
  /** Living ones that offer it. */
  readonly workers: number;
  readonly last_seen_at: string | null;
  /** JSON Schema of its payload. */
  readonly payload_schema: JsonObject | null;
}

export interface FleetStatus {
  readonly at: string;
  readonly counts: {
    readonly pending: number;
    readonly scheduled: number;
    readonly processing: number;
    readonly waiting: number;
  };
  /** A count of this means: or more. */
  readonly counted_to: number;
  readonly oldest_pending_s: number | null;
  readonly recent: {
    readonly since: string;
    readonly completed: number;
    readonly failed: number;
    readonly cancelled: number;
  };
  readonly workers: { readonly live: number; readonly late: number; readonly gone: number };
  readonly slots: { readonly used: number; readonly total: number };
  readonly paused_kinds: readonly string[];
}

export interface Headline {
  /** good: nothing to do; warn: somebody should look; bad: tasks do not get their answers. */
  readonly tone: 'good' | 'warn' | 'bad';
  readonly sentence: string;
  /** What to do; '' where there is nothing. */
  readonly advice: string;
}

/** Longer than this beside a free slot is no longer waiting its turn. */
const STARVING_S = 60;
/** Longer than this behind busy slots needs more workers. */
const QUEUED_S = 300;
/** More than half of the ends of the last hour, and at least this many: something is broken. */
const FAILING_AT_LEAST = 5;

/** How the fleet stands, in one sentence: healthy, or the one thing that is wrong most and what to do about it. */
export function headline(status: FleetStatus): Headline {
  const { counts, recent, slots, workers } = status;
  const waitS = status.oldest_pending_s ?? 0;
  const wait = `${atMost(counts.pending, status.counted_to)} wait`;
  if (workers.live + workers.late === 0) {
    if (counts.pending + counts.processing === 0) {
      return { tone: 'warn', sentence: 'no worker · nothing to do', advice: 'Start one: agent-worker run' };
    }
    return { tone: 'bad', sentence: `no worker · ${wait}`, advice: 'Start one: agent-worker run' };
  }
  if (workers.late > 0) {
    const late = `${plural(workers.late, 'worker')} without a heartbeat`;
    return { tone: 'warn', sentence: late, advice: 'See Workers for what happens next.' };
  }
  const ended = recent.completed + recent.failed;
  if (recent.failed >= FAILING_AT_LEAST && recent.failed > ended / 2) {
    const sentence = `${count(recent.failed)} of ${count(ended)} tasks failed in the last hour`;
    return { tone: 'bad', sentence, advice: 'See why: status:failed since:1h' };
  }
  const paused = status.paused_kinds.join(', ');
  if (paused && waitS > STARVING_S) {
    return { tone: 'warn', sentence: `${paused} paused · ${wait}`, advice: 'Resume it under Workers.' };
  }
  if (waitS > STARVING_S && slots.used < slots.total) {
    const sentence = `${wait}, the first for ${coarse(waitS)}, although slots are free`;
    return { tone: 'warn', sentence, advice: 'No worker offers their kind, or a limit holds them: see Workers.' };
  }
  if (waitS > QUEUED_S) {
    const sentence = `all ${count(slots.total)} slots busy · ${wait}, the first for ${coarse(waitS)}`;
    return { tone: 'warn', sentence, advice: 'Start more workers.' };
  }
  return { tone: 'good', sentence: allIsWell(status), advice: '' };
}

/** What a worker's state means for its tasks, in one sentence; '' while all is well. */
export function outlook(worker: Worker): string {
  const tasks = plural(worker.held, 'task');
  if (worker.health === 'live') {
    if (worker.state !== 'draining' && worker.drain_requested_at === null) return '';
    return worker.held === 0 ? 'Draining; it stops now.' : `Draining: ${tasks} to finish, then it stops.`;
  }
  const silent = `No heartbeat for ${coarse(worker.heartbeat_age_s)}.`;
  if (worker.held === 0) return worker.health === 'gone' ? 'Gone. It held no task.' : `${silent} It holds no task.`;
  if (worker.tasks_return_in_s === null)
    return `${silent} Its ${tasks} wait until another worker is there to take them.`;
  if (worker.tasks_return_in_s < 1) return `${silent} Its ${tasks} go back to the queue now.`;
  const many = worker.held === 1 ? 'returns' : 'return';
  return `${silent} Its ${tasks} ${many} in ${coarse(worker.tasks_return_in_s)}.`;
}

/** Those that need somebody first, then by name. */
export function sortWorkers(workers: readonly Worker[]): readonly Worker[] {
  const urgency = { late: 0, gone: 1, live: 2 };
  return workers.toSorted((a, b) => urgency[a.health] - urgency[b.health] || a.name.localeCompare(b.name));
}

/** `12`, or `10,000+` where counting stopped. */
export function atMost(value: number, countedTo: number): string {
  return value >= countedTo ? `${count(countedTo)}+` : count(value);
}

function allIsWell({ counts, counted_to, oldest_pending_s, recent, workers }: FleetStatus): string {
  const oldest = counts.pending > 0 && oldest_pending_s !== null ? ` (oldest ${coarse(oldest_pending_s)})` : '';
  return [
    'healthy',
    plural(workers.live, 'worker'),
    `${atMost(counts.pending, counted_to)} waiting${oldest}`,
    `${count(recent.completed)} done in 1 h`,
    `${count(recent.failed)} failed`,
  ].join(' · ');
}
