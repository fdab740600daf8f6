import type { RealtimeChannel } from '@supabase/supabase-js';
import type { Client } from './client.js';
import type { JsonObject } from './json.js';

/** One change that Realtime tells; `errors` says that fields are missing because the row is too large. */
export interface Change {
  readonly eventType: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly table: string;
  readonly new: Record<string, unknown>;
  readonly old: Record<string, unknown>;
  readonly errors: readonly string[] | null;
}

/** Whether a change brings the whole row: `large` are the columns that may be left out. */
export function isWhole(change: Change, large: readonly string[]): boolean {
  return !change.errors?.length && large.every((column) => column in change.new);
}

/** What to listen to, and whom to tell. */
export interface Watch {
  readonly topic: string;
  readonly tables: readonly { readonly event: '*' | 'INSERT'; readonly table: string; readonly filter?: string }[];
  /**
   * Broadcasts of an event on the private topic, from a time in milliseconds on: the newest of those that were missed are
   * told again. Where the project has no private topics, none come.
   */
  readonly broadcast?: {
    readonly event: string;
    readonly since: () => number;
    readonly onMessage: (payload: JsonObject) => void;
  };
  readonly onChange: (change: Change) => void;
  /** Whether changes flow. What happened before they did, or while they did not, has to be looked up. */
  readonly onLive: (isLive: boolean) => void;
  /** The page was hidden or offline for a while: look. */
  readonly onWake: () => void;
}

/** As many as Realtime gives. */
const REPLAY_LIMIT = 25;
const REOPEN_MS = [1000, 2000, 5000, 10_000];

/** Topics that are being left, by client: a new channel of the same name has to wait. */
const leaving = new WeakMap<Client, Map<string, Promise<unknown>>>();

/**
 * A Realtime channel that stays: supabase-js joins again after a lost connection, and this opens a new channel where
 * supabase-js would not, after the server has closed one because a token expired.
 */
export class LiveChannel {
  readonly #supabase: Client;
  readonly #watch: Watch;
  #channel: RealtimeChannel | null = null;
  #isOpen = false;
  #isLive = false;
  #isPrivate: boolean;
  #replays = true;
  #closures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(supabase: Client, watch: Watch) {
    this.#supabase = supabase;
    this.#watch = watch;
    this.#isPrivate = watch.broadcast !== undefined;
  }

  /** Whether changes flow now. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Begin to listen. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    globalThis.document?.addEventListener?.('visibilitychange', this.#onVisible);
    globalThis.addEventListener?.('online', this.#watch.onWake);
    this.#join();
  }

  /** Stop listening; nothing is told afterwards. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#isLive = false;
    clearTimeout(this.#timer);
    globalThis.document?.removeEventListener?.('visibilitychange', this.#onVisible);
    globalThis.removeEventListener?.('online', this.#watch.onWake);
    this.#leave();
  }

  readonly #onVisible = () => {
    if (document.visibilityState === 'visible') this.#watch.onWake();
  };

  #join(): void {
    this.#attempt().catch(() => {
      this.#channel = null; // the topic is another's, or the token could not be renewed
      this.#joinLater();
    });
  }

  #joinLater(): void {
    clearTimeout(this.#timer);
    if (!this.#isOpen) return;
    const delay = REOPEN_MS[Math.min(this.#closures, REOPEN_MS.length - 1)];
    this.#closures += 1;
    this.#timer = setTimeout(() => this.#join(), delay);
  }

  async #attempt(): Promise<void> {
    await leaving.get(this.#supabase)?.get(this.#watch.topic);
    await refreshToken(this.#supabase, this.#closures > 0);
    if (!this.#isOpen || this.#channel !== null) return;
    const { topic, tables, broadcast, onChange } = this.#watch;
    const replay = broadcast && this.#isPrivate && this.#replays && { since: broadcast.since(), limit: REPLAY_LIMIT };
    const config = { private: this.#isPrivate, broadcast: replay ? { replay } : {} };
    const channel = this.#supabase.channel(topic, { config });
    this.#channel = channel;
    for (const binding of tables) {
      channel.on('postgres_changes', { schema: 'public', ...binding } as never, (change: unknown) => {
        if (this.#channel === channel) onChange(change as Change);
      });
    }
    // On a public topic anybody could speak.
    if (broadcast !== undefined && this.#isPrivate) {
      channel.on('broadcast', { event: broadcast.event }, (message: { payload?: JsonObject }) => {
        if (this.#channel === channel && message.payload !== undefined) broadcast.onMessage(message.payload);
      });
    }
    channel.on('system' as never, {} as never, (message: { extension?: string; status?: string }) => {
      if (this.#channel === channel && message.extension === 'postgres_changes') this.#tell(message.status === 'ok');
    });
    channel.subscribe((status, error) => {
      if (this.#channel === channel) this.#onStatus(`${status}`, error);
    });
  }

  #onStatus(status: string, error: Error | undefined): void {
    if (status === 'SUBSCRIBED') return;
    this.#tell(false);
    if (status === 'CLOSED') {
      this.#channel = null;
      this.#joinLater();
    } else if (this.#isPrivate && /unauthorized|permission|replay/i.test(error?.message ?? '')) {
      // No policy lets this user hear broadcasts here, or old ones are not kept. The tables say the same, a little later.
      if (/replay/i.test(error?.message ?? '')) this.#replays = false;
      else this.#isPrivate = false;
      this.#leave();
      this.#join();
    }
  }

  #tell(isLive: boolean): void {
    if (isLive) this.#closures = 0;
    if (isLive === this.#isLive && !isLive) return;
    this.#isLive = isLive;
    this.#watch.onLive(isLive);
  }

  #leave(): void {
    const channel = this.#channel;
    if (channel === null) return;
    this.#channel = null;
    const { topic } = this.#watch;
    const topics = leaving.get(this.#supabase) ?? new Map<string, Promise<unknown>>();
    leaving.set(this.#supabase, topics);
    const left = this.#supabase
      .removeChannel(channel)
      .catch(() => undefined)
      .then(() => {
        if (topics.get(topic) === left) topics.delete(topic);
      });
    topics.set(topic, left);
  }
}

/**
 * Let Realtime know the user's token before a channel is joined. supabase-js passes on a session's refreshed token by
 * itself, but joins with what it has: at first that may be nothing, and after a long sleep an expired one.
 */
async function refreshToken(supabase: Client, isAgain: boolean): Promise<void> {
  const { realtime } = supabase;
  if (realtime.accessTokenValue && !isAgain) return;
  try {
    await supabase.auth.getSession(); // refreshes an expired session, and hands the new token to Realtime
  } catch {
    await realtime.setAuth(); // a client that was made with `accessToken` has no `auth`
  }
  if (!realtime.accessTokenValue) await realtime.setAuth();
}
