/**
 * What changes, as it changes: one channel for the whole page.
 *
 * A fleet that changes faster than a page can show is not followed row by row: the channel is left for a while, and the
 * pages look by themselves, as they do while changes do not flow.
 */
import { LiveChannel } from '@agent-worker/client/core/channel';
import type { SupabaseClient } from '@supabase/supabase-js';
import type { Change } from '../model/list';
import type { Reach } from './reach';
import { LIST_COLUMNS } from './tasks';

/** live: changes flow; polling: they do not, the pages look; busy: too many to follow; offline: nobody answers. */
export type Flow = 'connecting' | 'live' | 'polling' | 'busy' | 'offline';

export type LiveEvent =
  | { readonly type: 'task'; readonly change: Change }
  | { readonly type: 'task-gone'; readonly id: string }
  | { readonly type: 'question' }
  /** Something may have been missed: look. */
  | { readonly type: 'again' };

type Listener = (event: LiveEvent) => void;

const TABLES = [
  // Payloads stay where they are: a list shows none, and each may weigh 16 MiB.
  { event: '*', table: 'agent_task_requests', select: [...LIST_COLUMNS] },
  { event: '*', table: 'human_tasks' },
] as const;

const MOST_PER_S = 250;
const BUSY_MS = 30_000;
/** Changes that do not flow by then are not on their way. */
const CONNECT_MS = 5000;

export class LiveFeed {
  readonly #reach: Reach;
  readonly #channel: LiveChannel;
  readonly #listeners = new Set<Listener>();
  readonly #watchers = new Set<() => void>();
  #state: 'connecting' | 'live' | 'down' | 'busy' = 'connecting';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #second = 0;
  #inSecond = 0;

  constructor(supabase: SupabaseClient, reach: Reach) {
    this.#reach = reach;
    this.#channel = new LiveChannel(supabase, {
      topic: 'dashboard',
      tables: TABLES,
      onChange: ({ table, eventType, new: row, old }) => {
        if (table === 'human_tasks') this.#tell({ type: 'question' });
        else if (eventType === 'DELETE') this.#tell({ type: 'task-gone', id: String(old.id) });
        else if ('updated_at' in row) this.#tell({ type: 'task', change: row as unknown as Change });
      },
      onLive: (isLive) => {
        this.#set(isLive ? 'live' : 'down');
        if (isLive) this.#send({ type: 'again' });
      },
      onWake: () => this.#send({ type: 'again' }),
    });
  }

  start(): void {
    this.#channel.open();
    this.#timer = setTimeout(() => this.#state === 'connecting' && this.#set('down'), CONNECT_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#channel.close();
    this.#state = 'connecting';
  }

  /** Be told of each change until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For `useSyncExternalStore`. */
  watch = (onChange: () => void): (() => void) => {
    this.#watchers.add(onChange);
    const leave = this.#reach.watch(onChange);
    return () => {
      this.#watchers.delete(onChange);
      leave();
    };
  };

  flow = (): Flow => {
    if (!this.#reach.isUp()) return 'offline';
    return this.#state === 'down' ? 'polling' : this.#state;
  };

  /** When the gateway was last heard of, in milliseconds, while it is offline. */
  lostAt = (): number => this.#reach.since();

  #tell(event: LiveEvent): void {
    const second = Math.floor(Date.now() / 1000);
    this.#inSecond = second === this.#second ? this.#inSecond + 1 : 1;
    this.#second = second;
    if (this.#inSecond <= MOST_PER_S) {
      this.#send(event);
      return;
    }
    this.#channel.close();
    this.#set('busy');
    this.#timer = setTimeout(() => this.#channel.open(), BUSY_MS);
  }

  #send(event: LiveEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  #set(state: 'live' | 'down' | 'busy'): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const watcher of [...this.#watchers]) watcher();
  }
}
