/**
 * What changes, as it changes: one channel for the whole page, which mends itself.
 *
 * - A channel that was refused or closed is made again, after 1, 2, 5, then every 10 seconds.
 * - Whoever follows is told when changes flow again, for what happened meanwhile was missed: read once more.
 * - A fleet that changes faster than a page can show is not followed row by row: the channel is left for a while, and
 *   the pages look by themselves.
 */
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js';
import type { Change } from '../model/list';
import type { Question } from '../model/task';
import { LIST_COLUMNS } from './tasks';

/** connecting: not yet; live: changes flow; busy: too many to follow; offline: nobody answers. */
export type Flow = 'connecting' | 'live' | 'busy' | 'offline';

export type LiveEvent =
  | { readonly type: 'task'; readonly change: Change }
  | { readonly type: 'task-gone'; readonly id: string }
  | { readonly type: 'question'; readonly question: Question }
  /** Something may have been missed. */
  | { readonly type: 'again' };

type Listener = (event: LiveEvent) => void;

const MAKE_AGAIN_MS = [1000, 2000, 5000, 10_000] as const;
const MOST_PER_S = 250;
const BUSY_MS = 30_000;

export class LiveFeed {
  readonly #supabase: SupabaseClient;
  readonly #listeners = new Set<Listener>();
  readonly #watchers = new Set<() => void>();
  #flow: Flow = 'connecting';
  #since = Date.now();
  #channel: RealtimeChannel | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #tries = 0;
  #isOn = false;
  #second = 0;
  #inSecond = 0;

  constructor(supabase: SupabaseClient) {
    this.#supabase = supabase;
  }

  start(): void {
    if (this.#isOn) return;
    this.#isOn = true;
    document.addEventListener('visibilitychange', this.#onVisible);
    globalThis.addEventListener('online', this.#onOnline);
    this.#open();
  }

  stop(): void {
    this.#isOn = false;
    document.removeEventListener('visibilitychange', this.#onVisible);
    globalThis.removeEventListener('online', this.#onOnline);
    this.#close();
  }

  /** Be told of each change until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For `useSyncExternalStore`. */
  watch = (onChange: () => void): (() => void) => {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  };

  flow = (): Flow => this.#flow;

  /** When the flow became what it is, in milliseconds. */
  since = (): number => this.#since;

  #open(): void {
    this.#close();
    const table = { event: '*', schema: 'public' } as const;
    const channel = this.#supabase
      .channel(`dashboard-${crypto.randomUUID()}`)
      .on('postgres_changes', { ...table, table: 'agent_task_requests', select: [...LIST_COLUMNS] }, (payload) => {
        if (payload.eventType === 'DELETE') this.#tell({ type: 'task-gone', id: String(payload.old.id) });
        else if ('status' in payload.new) this.#tell({ type: 'task', change: payload.new as Change });
      })
      .on('postgres_changes', { ...table, table: 'human_tasks' }, (payload) => {
        if (payload.eventType !== 'DELETE') this.#tell({ type: 'question', question: payload.new as Question });
      })
      // Joined is not yet subscribed: changes flow from this message on.
      .on('system', {}, (message: { extension?: string; status?: string }) => {
        if (message.extension === 'postgres_changes' && message.status === 'ok') this.#flows(channel);
      });
    this.#channel = channel;
    channel.subscribe((status) => {
      if (channel !== this.#channel || status === 'SUBSCRIBED') return;
      this.#set('offline');
      // The client joins a channel in error by itself; one that was closed, never.
      if (status === 'CLOSED') this.#openLater();
    });
  }

  #flows(channel: RealtimeChannel): void {
    if (channel !== this.#channel) return;
    this.#tries = 0;
    this.#set('live');
    this.#send({ type: 'again' });
  }

  #openLater(delay: number = MAKE_AGAIN_MS[Math.min(this.#tries++, MAKE_AGAIN_MS.length - 1)] ?? 10_000): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#isOn) this.#timer = setTimeout(() => this.#open(), delay);
  }

  #close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const channel = this.#channel;
    this.#channel = null;
    if (channel !== null) void this.#supabase.removeChannel(channel);
  }

  #tell(event: LiveEvent): void {
    const second = Math.floor(Date.now() / 1000);
    this.#inSecond = second === this.#second ? this.#inSecond + 1 : 1;
    this.#second = second;
    if (this.#inSecond > MOST_PER_S) {
      this.#close();
      this.#set('busy');
      this.#openLater(BUSY_MS);
      return;
    }
    this.#send(event);
  }

  #send(event: LiveEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #set(flow: Flow): void {
    if (flow === this.#flow) return;
    this.#flow = flow;
    this.#since = Date.now();
    for (const watcher of this.#watchers) watcher();
  }

  /** A laptop that slept has missed things, whatever its socket believes. */
  #onVisible = (): void => {
    if (document.visibilityState === 'visible') this.#send({ type: 'again' });
  };

  #onOnline = (): void => {
    if (this.#flow === 'offline') this.#open();
  };
}
