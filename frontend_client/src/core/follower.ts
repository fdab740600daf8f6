import { type Change, isWhole, LiveChannel } from './channel.js';
import type { Client } from './client.js';
import { type AgentTaskError, asTaskError, TaskNotFound, TaskRefused } from './errors.js';
import { deltaOf, type FollowInput, type FollowState, hasGap, initialState, reduce } from './follow-state.js';
import { EVENT_PAGE, insertUnderWay, lookUpTask, selectEvents } from './tables.js';
import { type AgentTask, type AgentTaskEvent, isFinal } from './task.js';

/** Milliseconds between looks while changes flow and the last look succeeded: they are only a safety net then. */
const LIVE_POLL_MS = 10_000;
/** The same while they do not, look by look. A hosted project needs 1 to 3 s before they begin to. */
const POLL_MS = [50, 100, 200, 400, 800, 1600, 2000];

/** How far back broadcasts are asked for, before the row's last change. */
const REPLAY_MS = 2000;

const followers = new WeakMap<Client, Map<string, TaskFollower>>();

/**
 * Keeps what is known of one task up to date, from Realtime and by looking, until the task has ended.
 *
 * All who follow a task over one client share a follower, and so one channel. It closes when the last one lets go.
 */
export class TaskFollower {
  readonly #supabase: Client;
  readonly #id: string;
  readonly #channel: LiveChannel;
  readonly #listeners = new Set<() => void>();
  #state: FollowState;
  #holders = 0;
  #wantsEvents = false;
  #isRunning = false;
  #awaitsRow = false;
  #isLooking = false;
  #looksAgain = false;
  #looks = 0;
  #hasFailed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Take hold of the follower of a task; give it back with `release()`. `task` is its row, where it is known. */
  static hold(supabase: Client, id: string, task: AgentTask | null = null): TaskFollower {
    const byId = followers.get(supabase) ?? new Map<string, TaskFollower>();
    followers.set(supabase, byId);
    let follower = byId.get(id);
    if (follower === undefined || follower.#isOver()) {
      follower = new TaskFollower(supabase, id, task);
      byId.set(id, follower);
    }
    follower.#holders += 1;
    if (!follower.#isRunning) follower.#start();
    return follower;
  }

  private constructor(supabase: Client, id: string, task: AgentTask | null) {
    this.#supabase = supabase;
    this.#id = id;
    this.#state = initialState(task);
    this.#channel = new LiveChannel(supabase, {
      topic: `task:${id}`,
      tables: [
        { event: '*', table: 'agent_task_requests', filter: `id=eq.${id}` },
        { event: 'INSERT', table: 'agent_task_events', filter: `task_id=eq.${id}` },
      ],
      broadcast: {
        event: 'delta',
        // Text is stored a second after it was said at the latest; what was said before is read from the table.
        since: () => Date.parse(this.#state.task?.updated_at ?? '') - REPLAY_MS,
        onMessage: (payload) => {
          const delta = deltaOf(payload, id);
          if (delta !== null) this.#apply({ type: 'delta', delta });
        },
      },
      onChange: (change) => this.#onChange(change),
      onLive: () => this.look(),
      onWake: () => this.look(),
    });
  }

  get state(): FollowState {
    return this.#state;
  }

  /** Be told when the state is another one; returns how to stop that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Read the task's events as well: those there are, and after a gap. */
  wantEvents(): void {
    if (this.#wantsEvents) return;
    this.#wantsEvents = true;
    if (!this.#awaitsRow) this.look();
  }

  /** Let go. */
  release(): void {
    this.#holders -= 1;
    // React's StrictMode lets go and takes hold again at once.
    setTimeout(() => {
      if (this.#holders === 0) this.#stop();
    });
  }

  #start(): void {
    this.#isRunning = true;
    const inserted = this.#state.task === null ? insertUnderWay(this.#supabase, this.#id) : undefined;
    if (inserted === undefined) {
      this.#listen();
      return;
    }
    this.#awaitsRow = true;
    inserted.then(
      (task) => {
        this.#awaitsRow = false;
        this.#apply({ type: 'looked', task, changes: this.#state.changes });
        this.#listen();
      },
      (thrown) => this.#apply({ type: 'refused', problem: asTaskError(thrown) }),
    );
  }

  #listen(): void {
    if (!this.#isRunning || this.#isComplete()) return;
    if (this.#state.task !== null) this.#channel.open();
    if (this.#state.task === null || this.#wantsEvents) this.look();
    else this.#schedule();
  }

  #stop(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    this.#channel.close();
    const byId = followers.get(this.#supabase);
    if (byId?.get(this.#id) === this) byId.delete(this.#id);
  }

  /** Nothing more can come. */
  #isComplete(): boolean {
    const { task, problem, isDrained } = this.#state;
    return problem !== null || (task !== null && isFinal(task) && (isDrained || !this.#wantsEvents));
  }

  /** Of no use to one who comes now: the task may have been redriven, or come back. */
  #isOver(): boolean {
    return this.#state.problem !== null || (this.#state.task !== null && isFinal(this.#state.task));
  }

  #apply(input: FollowInput): void {
    const before = this.#state;
    this.#state = reduce(before, input);
    if (this.#state === before) return;
    for (const listener of [...this.#listeners]) tell(listener);
    if (this.#isComplete()) {
      clearTimeout(this.#timer);
      this.#channel.close();
      return;
    }
    if (this.#state.task !== null && this.#isRunning) this.#channel.open();
    if (this.#wantsEvents && (hasGap(this.#state) || this.#hasJustEnded(before))) {
      this.look();
    }
  }

  #hasJustEnded(before: FollowState): boolean {
    return this.#state.task !== before.task && this.#state.task !== null && isFinal(this.#state.task);
  }

  #onChange(change: Change): void {
    if (change.table === 'agent_task_events') {
      if (isWhole(change, ['data'])) this.#apply({ type: 'events', events: [change.new as unknown as AgentTaskEvent] });
      else this.look();
    } else if (change.eventType === 'DELETE') {
      if (change.old.id === this.#id) this.#apply({ type: 'refused', problem: new TaskNotFound(`task ${this.#id}`) });
    } else {
      const task = taskOf(change, this.#state.task);
      if (task !== null) this.#apply({ type: 'changed', task });
      else this.look();
    }
  }

  /** Read the tables now. */
  look(): void {
    clearTimeout(this.#timer);
    if (this.#isLooking) {
      this.#looksAgain = true;
      return;
    }
    this.#isLooking = true;
    this.#hasFailed = false;
    this.#readAll()
      .catch((thrown) => this.#onFailure(asTaskError(thrown)))
      .finally(() => {
        this.#isLooking = false;
        if (this.#looksAgain) {
          this.#looksAgain = false;
          if (this.#isRunning && !this.#isComplete()) this.look();
        } else {
          this.#schedule();
        }
      });
  }

  async #readAll(): Promise<void> {
    const { changes, task: known } = this.#state;
    const hadEnded = known !== null && isFinal(known);
    const wantsEvents = this.#wantsEvents;
    const row = hadEnded ? known : await lookUpTask(this.#supabase, this.#id);
    if (!this.#isRunning) return;
    if (row === null) throw new TaskNotFound(`task ${this.#id}`);
    this.#apply({ type: 'looked', task: row, changes });
    if (!wantsEvents) return;
    const hasEnded = isFinal(row);
    for (;;) {
      const events = await selectEvents(this.#supabase, this.#id, this.#state.stored.length);
      if (!this.#isRunning) return;
      this.#apply({ type: 'events', events });
      if (events.length < EVENT_PAGE) break;
    }
    if (hasEnded) this.#apply({ type: 'drained' });
  }

  // What was there once and cannot be read now may be a session that is being renewed.
  #onFailure(problem: AgentTaskError): void {
    this.#hasFailed = true;
    const isForGood = problem instanceof TaskNotFound || (problem instanceof TaskRefused && this.#state.task === null);
    if (isForGood && this.#isRunning) this.#apply({ type: 'refused', problem });
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (!this.#isRunning || this.#isComplete()) return;
    const isCurrent = this.#channel.isLive && !this.#hasFailed;
    const delay = isCurrent ? LIVE_POLL_MS : POLL_MS[Math.min(this.#looks, POLL_MS.length - 1)];
    this.#looks += 1;
    this.#timer = setTimeout(() => this.look(), delay);
  }
}

/**
 * The row of a change, or null where the row has to be read: Realtime leaves out what makes a change larger than 1 MiB,
 * and large values that an update left as they were. The payload of a request never changes once it is known.
 */
function taskOf(change: Change, known: AgentTask | null): AgentTask | null {
  const row = known === null ? change.new : { request_payload: known.request_payload, ...change.new };
  return isWhole({ ...change, new: row }, ['request_payload', 'response_payload', 'progress'])
    ? (row as unknown as AgentTask)
    : null;
}

/** Call a listener; what it throws is reported as uncaught and stops nobody else. */
export function tell(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
