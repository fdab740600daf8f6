/** One task as it goes on: its row and its events, without a gap. */
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js';
import { isFinal, type Task, type TaskEvent } from '../model/task';
import { readEvents, readTask } from './tasks';

export interface Followed {
  /** undefined: not read yet; null: there is no such task for this user. */
  readonly task: Task | null | undefined;
  readonly events: readonly TaskEvent[];
  readonly error: unknown;
}

const NOT_READ: Followed = { task: undefined, events: [], error: null };

/** Looks by itself this often: notifications may be lost. */
const LOOK_MS = 5000;

export class TaskFollower {
  readonly #supabase: SupabaseClient;
  readonly #id: string;
  readonly #watchers = new Set<() => void>();
  #state = NOT_READ;
  #channel: RealtimeChannel | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #isReading = false;
  #isWanted = false;

  constructor(supabase: SupabaseClient, id: string) {
    this.#supabase = supabase;
    this.#id = id;
  }

  state = (): Followed => this.#state;

  /** For `useSyncExternalStore`: follows while somebody watches. */
  watch = (onChange: () => void): (() => void) => {
    this.#watchers.add(onChange);
    if (this.#watchers.size === 1) this.#start();
    return () => {
      this.#watchers.delete(onChange);
      if (this.#watchers.size === 0) this.#stop();
    };
  };

  /** Read what is missing. Called while a reading is under way: once more after it. */
  look = (): void => {
    this.#isWanted = true;
    if (!this.#isReading) void this.#read();
  };

  #start(): void {
    this.look();
    this.#timer = setInterval(() => {
      const task = this.#state.task;
      if (!task || !isFinal(task.status)) this.look();
    }, LOOK_MS);
    const filter = { schema: 'public', event: '*' } as const;
    this.#channel = this.#supabase
      .channel(`dashboard-task-${this.#id}-${crypto.randomUUID()}`)
      .on(
        'postgres_changes',
        { ...filter, table: 'agent_task_events', filter: `task_id=eq.${this.#id}` },
        ({ new: row }) => this.#add(row as Partial<TaskEvent>),
      )
      .on('postgres_changes', { ...filter, table: 'agent_task_requests', filter: `id=eq.${this.#id}` }, this.look)
      .on('system', {}, this.look)
      .subscribe();
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#channel !== null) void this.#supabase.removeChannel(this.#channel);
    this.#timer = null;
    this.#channel = null;
  }

  /** Take the next event as it is; for one out of order, or cut for its size, read the table. */
  #add(event: Partial<TaskEvent>): void {
    const last = this.#state.events.at(-1)?.seq ?? 0;
    if (event.seq === undefined || event.seq <= last) return;
    if (event.seq !== last + 1 || event.data === undefined || event.type === undefined) {
      this.look();
      return;
    }
    this.#set({ ...this.#state, events: [...this.#state.events, event as TaskEvent] });
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    while (this.#isWanted && this.#watchers.size > 0) {
      this.#isWanted = false;
      try {
        const task = await readTask(this.#supabase, this.#id);
        const after = this.#state.events.at(-1)?.seq ?? 0;
        const added = task === null ? [] : await readEvents(this.#supabase, this.#id, after);
        const last = this.#state.events.at(-1)?.seq ?? 0;
        const events = [...this.#state.events, ...added.filter((event) => event.seq > last)];
        this.#set({ task, events, error: null });
      } catch (error) {
        this.#set({ ...this.#state, error });
      }
    }
    this.#isReading = false;
  }

  #set(state: Followed): void {
    this.#state = state;
    for (const watcher of this.#watchers) watcher();
  }
}
