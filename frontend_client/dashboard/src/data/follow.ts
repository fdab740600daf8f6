/** One task as it goes on, for a component: its row, its events without a gap, and text that is not stored yet. */
import { TaskFollower } from '@agent-worker/client/core/follower';
import type { SupabaseClient } from '@supabase/supabase-js';
import { isFinal, type Task, type TaskEvent } from '../model/task';

export interface Followed {
  readonly task: Task | null;
  readonly events: readonly TaskEvent[];
  /** Streamed text that comes after the events. */
  readonly pending: string;
  /** Why the task cannot be followed: it is gone, or somebody else's. */
  readonly problem: string;
}

const NOTHING: Followed = { task: null, events: [], pending: '', problem: '' };

export class FollowedTask {
  readonly #supabase: SupabaseClient;
  readonly #id: string;
  readonly #watchers = new Set<() => void>();
  #follower: TaskFollower | null = null;
  #leave: () => void = () => undefined;
  #state = NOTHING;

  constructor(supabase: SupabaseClient, id: string) {
    this.#supabase = supabase;
    this.#id = id;
  }

  state = (): Followed => this.#state;

  /** For `useSyncExternalStore`: follows while somebody watches. */
  watch = (onChange: () => void): (() => void) => {
    this.#watchers.add(onChange);
    if (this.#watchers.size === 1) this.#hold();
    return () => {
      this.#watchers.delete(onChange);
      if (this.#watchers.size === 0) this.#release();
    };
  };

  /** Look once more. A task that has ended is followed anew, for it may have been set back to pending. */
  look = (): void => {
    if (this.#follower === null) return;
    if (this.#state.task !== null && !isFinal(this.#state.task.status)) {
      this.#follower.look();
      return;
    }
    this.#release();
    this.#hold();
  };

  #hold(): void {
    const follower = TaskFollower.hold(this.#supabase, this.#id);
    this.#follower = follower;
    this.#leave = follower.subscribe(() => this.#take(follower));
    follower.wantEvents();
    // Another part of the page may follow it already.
    this.#take(follower);
  }

  #release(): void {
    this.#leave();
    this.#follower?.release();
    this.#follower = null;
  }

  #take({ state }: TaskFollower): void {
    const { task, stored, text, storedText, problem } = state;
    // Until it has been read anew, what was known stays on the page.
    if (task === null && problem === null) return;
    this.#state = {
      task: task as Task | null,
      events: stored as readonly TaskEvent[],
      pending: text.slice(storedText.length),
      problem: problem?.message ?? '',
    };
    for (const watcher of [...this.#watchers]) watcher();
  }
}
