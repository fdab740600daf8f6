import { type Change, isWhole, LiveChannel } from './channel.js';
import { type Client, clientOf } from './client.js';
import { type AgentTaskError, asTaskError } from './errors.js';
import { tell } from './follower.js';
import type { ClientOption } from './submit.js';
import { type QuestionFilter, selectQuestions, selectTasks, type TaskFilter } from './tables.js';
import type { AgentTask, HumanTask } from './task.js';
import { compareTimes } from './time.js';

const LIVE_POLL_MS = 10_000;
const POLL_MS = 2000;

interface Row {
  readonly id: string;
  readonly created_at: string;
  readonly updated_at: string;
}

/** Rows that are kept current. */
export interface RowsState<R> {
  /** The newest first. */
  readonly rows: readonly R[];
  /** Nothing has been read yet. */
  readonly isLoading: boolean;
  /** Changes arrive at once; otherwise the rows are read every two seconds. */
  readonly isLive: boolean;
  /** Why the last reading failed; it is tried again. */
  readonly error: AgentTaskError | null;
}

/** What a list is made of. */
export interface RowsSource<R extends Row> {
  readonly supabase: Client;
  readonly table: string;
  readonly limit: number;
  /** Columns that Realtime leaves out of a large change. */
  readonly largeColumns: readonly string[];
  readonly select: () => Promise<R[]>;
  /** Whether a row belongs into the list. */
  readonly accepts: (row: R) => boolean;
  /** Called with each row that is new or another than before, once the first reading is done. */
  readonly onRow?: (row: R) => void;
}

/** A list of the newest rows of a table, kept current by Realtime and by reading. */
export class LiveRows<R extends Row> {
  readonly #source: RowsSource<R>;
  readonly #channel: LiveChannel;
  readonly #listeners = new Set<() => void>();
  #state: RowsState<R> = { rows: [], isLoading: true, isLive: false, error: null };
  /** What was told since the reading under way began: the row, or null where it is gone from the list. */
  readonly #told = new Map<string, R | null>();
  #isRunning = false;
  #isReading = false;
  #readsAgain = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(source: RowsSource<R>) {
    this.#source = source;
    this.#channel = new LiveChannel(source.supabase, {
      topic: `${source.table}:${Math.random().toString(36).slice(2)}`,
      tables: [{ event: '*', table: source.table }],
      onChange: (change) => this.#onChange(change),
      onLive: (isLive) => {
        this.#show({ isLive });
        this.refresh();
      },
      onWake: () => this.refresh(),
    });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): RowsState<R> => this.#state;

  /** Begin; returns how to stop. */
  readonly start = (): (() => void) => {
    this.#isRunning = true;
    this.#channel.open();
    this.refresh();
    return () => {
      this.#isRunning = false;
      clearTimeout(this.#timer);
      this.#channel.close();
    };
  };

  /** Read the rows now. */
  readonly refresh = (): void => {
    if (!this.#isRunning) return;
    clearTimeout(this.#timer);
    if (this.#isReading) {
      this.#readsAgain = true;
      return;
    }
    this.#isReading = true;
    this.#read()
      .catch((thrown) => this.#show({ error: asTaskError(thrown) }))
      .finally(() => {
        this.#isReading = false;
        const isCurrent = this.#channel.isLive && this.#state.error === null;
        const delay = this.#readsAgain ? 0 : isCurrent ? LIVE_POLL_MS : POLL_MS;
        this.#readsAgain = false;
        if (this.#isRunning) this.#timer = setTimeout(this.refresh, delay);
      });
  };

  /** Take a row that another request returned. */
  readonly take = (row: R): void => {
    const known = this.#state.rows.find(({ id }) => id === row.id);
    if (known !== undefined && compareTimes(row.updated_at, known.updated_at) < 0) return;
    const others = this.#state.rows.filter(({ id }) => id !== row.id);
    const belongs = this.#source.accepts(row);
    this.#told.set(row.id, belongs ? row : null);
    if (!belongs && known === undefined) return;
    if (!belongs && this.#state.rows.length === this.#source.limit) this.refresh(); // an older one moves up
    this.#show({ rows: belongs ? this.#newest([row, ...others]) : others });
    if (belongs) this.#tell([row]);
  };

  async #read(): Promise<void> {
    this.#told.clear();
    const read = await this.#source.select();
    if (!this.#isRunning) return;
    const { isLoading, rows: before } = this.#state;
    const known = new Map(before.map((row) => [row.id, row]));
    const unchanged = (row: R) =>
      (known.get(row.id)?.updated_at === row.updated_at ? known.get(row.id) : undefined) ?? row;
    const told = [...this.#told.values()].filter((row) => row !== null);
    const rows = this.#newest([...read.filter(({ id }) => !this.#told.has(id)).map(unchanged), ...told]);
    this.#show({ rows, isLoading: false, error: null });
    if (!isLoading) this.#tell(rows.filter((row) => known.get(row.id) !== row));
  }

  #onChange(change: Change): void {
    if (change.eventType === 'DELETE') {
      const id = `${change.old.id}`;
      this.#told.set(id, null);
      this.#show({ rows: this.#state.rows.filter((row) => row.id !== id) });
    } else if (isWhole(change, this.#source.largeColumns)) {
      this.take(change.new as unknown as R);
    } else {
      this.refresh();
    }
  }

  #newest(rows: readonly R[]): R[] {
    const order = (a: R, b: R) => compareTimes(b.created_at, a.created_at) || (a.id < b.id ? 1 : -1);
    return [...rows].sort(order).slice(0, this.#source.limit);
  }

  #tell(rows: readonly R[]): void {
    const { onRow } = this.#source;
    if (onRow !== undefined) for (const row of rows) tell(() => onRow(row));
  }

  #show(change: Partial<RowsState<R>>): void {
    const before = this.#state;
    const rows = change.rows ?? before.rows;
    const isSame = rows.length === before.rows.length && rows.every((row, index) => row === before.rows[index]);
    this.#state = { ...before, ...change, rows: isSame ? before.rows : rows };
    for (const listener of [...this.#listeners]) tell(listener);
  }
}

/** Which tasks a list shows, and how many. */
export interface TaskListOptions extends TaskFilter, ClientOption {
  /** Most rows, the newest first; 50 unless given. */
  readonly limit?: number | undefined;
}

/** Which questions a list shows, and how many. */
export interface QuestionListOptions extends QuestionFilter, ClientOption {
  /** Most rows, the newest first; 50 unless given. */
  readonly limit?: number | undefined;
}

/** The newest tasks that this user may see. */
export function taskRows(options: TaskListOptions, onRow?: (task: AgentTask) => void): LiveRows<AgentTask> {
  const { limit = 50, status, kind, enterpriseId } = options;
  const supabase = clientOf(options);
  return new LiveRows<AgentTask>({
    supabase,
    table: 'agent_task_requests',
    limit,
    largeColumns: ['request_payload', 'response_payload', 'progress'],
    select: () => selectTasks(supabase, options, limit),
    accepts: (task) =>
      (status === undefined || [status].flat().includes(task.status)) &&
      (kind === undefined || task.kind === kind) &&
      (enterpriseId === undefined || task.enterprise_id === enterpriseId),
    ...(onRow && { onRow }),
  });
}

/** The questions that this user may see. */
export function questionRows(options: QuestionListOptions): LiveRows<HumanTask> {
  const { limit = 50, status, taskId } = options;
  const supabase = clientOf(options);
  return new LiveRows<HumanTask>({
    supabase,
    table: 'human_tasks',
    limit,
    largeColumns: ['form', 'context', 'response'],
    select: () => selectQuestions(supabase, options, limit),
    accepts: (question) =>
      (status === undefined || question.status === status) && (taskId === undefined || question.task_id === taskId),
  });
}

/**
 * Be told of every task of this user that is new or changes, wherever it was submitted; returns how to stop.
 *
 * After a lost connection the newest `limit` tasks are read and compared, so the last version of each is told.
 *
 * @example
 * ```ts
 * const stop = subscribeToAgentTasks((task) => console.log(task.id, task.status));
 * ```
 */
export function subscribeToAgentTasks(onChange: (task: AgentTask) => void, options: TaskListOptions = {}): () => void {
  return taskRows({ limit: 100, ...options }, onChange).start();
}
