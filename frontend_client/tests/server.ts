/*
 * A scripted project: three tables over HTTP and their changes over a WebSocket, with every failure on demand. It
 * speaks just enough of both protocols for supabase-js; the real gateway is for tests/integration.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export type Row = Record<string, unknown>;
type Table = 'agent_task_requests' | 'agent_task_events' | 'human_tasks';

interface Binding {
  id: number;
  event: string;
  table?: string;
  filter?: string;
}

interface Joined {
  socket: WebSocket;
  isNew: boolean;
  topic: string;
  joinRef: string;
  isPrivate: boolean;
  bindings: Binding[];
}

export class ScriptedProject {
  readonly tables: Record<Table, Row[]> = { agent_task_requests: [], agent_task_events: [], human_tasks: [] };
  /** `GET agent_task_requests` and so on, in order. */
  readonly requests: string[] = [];
  /** Topics joined, in order, with `private:` before a private one. */
  readonly joins: string[] = [];
  /** Called with each new task, before the reply to its insert is sent. */
  onInsert: (task: Row) => void = () => {};
  /** Why joins of private topics are refused; null lets them in. */
  refusePrivate: string | null = null;
  /** Why joins that want a replay are refused; null gives them one. */
  refuseReplay: string | null = null;
  /** Changes are told to nobody, and nobody is told that they flow. */
  isDeaf = false;
  /** Replies to the next inserts are lost after the row was written. */
  lostReplies = 0;
  /** Refusal of the next inserts. */
  refusal: { status: number; body: Row } | null = null;
  /** Answers nothing over HTTP. */
  isDown = false;

  readonly #channels = new Set<Joined>();
  readonly #messages: { topic: string; at: number; payload: object }[] = [];
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  #clock = Date.parse('2026-01-01T00:00:00Z');

  private constructor() {
    this.#http = createServer((request, response) => void this.#serve(request, response));
    this.#sockets = new WebSocketServer({ server: this.#http });
    this.#sockets.on('connection', (socket, request) => {
      const isNew = request.url?.includes('vsn=2') ?? false;
      socket.on('message', (data, isBinary) => !isBinary && this.#hear(socket, isNew, `${data}`));
      socket.on('close', () => this.#forget((channel) => channel.socket === socket));
    });
  }

  static async start(): Promise<ScriptedProject> {
    const project = new ScriptedProject();
    await new Promise<void>((resolve) => project.#http.listen(0, '127.0.0.1', resolve));
    return project;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** Topics that somebody listens to now. */
  get topics(): string[] {
    return [...this.#channels].map(({ topic }) => topic);
  }

  // What happens to tasks.

  /** A task as the database would have made it. */
  add(row: Row = {}): Row {
    const task = {
      ...{
        id: randomUUID(),
        kind: 'chat',
        status: 'pending',
        request_payload: {},
        response_payload: null,
        user_id: null,
      },
      ...{ enterprise_id: null, priority: 0, run_at: null, attempt: 0, max_attempts: 3, timeout_s: null },
      ...{ dedupe_key: null, cancel_requested_at: null, progress: null, parent_id: null, worker_id: null },
      ...{ started_at: null, finished_at: null, created_at: this.#now(), updated_at: this.#now() },
      ...row,
    };
    this.tables.agent_task_requests.push(task);
    this.tell('INSERT', 'agent_task_requests', task);
    return task;
  }

  change(id: unknown, change: Row): Row {
    const task = this.task(id);
    Object.assign(task, change, { updated_at: this.#now() });
    this.tell('UPDATE', 'agent_task_requests', task);
    return task;
  }

  complete(id: unknown, answer: string): Row {
    return this.change(id, { status: 'completed', response_payload: { answer } });
  }

  /** One more event of a task. */
  say(id: unknown, type: string, data: Row = {}, attempt = 1): Row {
    const seq = this.tables.agent_task_events.filter((event) => event.task_id === id).length + 1;
    const event = { task_id: id, seq, type, data, attempt, user_id: null, created_at: this.#now() };
    this.tables.agent_task_events.push(event);
    this.tell('INSERT', 'agent_task_events', event);
    return event;
  }

  ask(task_id: unknown, row: Row = {}): Row {
    const question = {
      ...{
        id: randomUUID(),
        task_id,
        key: 'ok',
        type: 'approval',
        title: 'Go on?',
        description: '',
        form: {},
        context: {},
      },
      ...{ priority: 'medium', status: 'pending', assignee: null, user_id: null, enterprise_id: null, response: null },
      ...{ responded_by: null, expires_at: null, responded_at: null },
      ...{ created_at: this.#now(), updated_at: this.#now() },
      ...row,
    };
    this.tables.human_tasks.push(question);
    this.tell('INSERT', 'human_tasks', question);
    return question;
  }

  task(id: unknown): Row {
    const task = this.tables.agent_task_requests.find((row) => row.id === id);
    if (task === undefined) throw new Error(`no task ${id}`);
    return task;
  }

  // What happens on the wire.

  /** Tell a change to whoever listens; `record` may lack what a real change would lack. */
  tell(type: string, table: Table, record: Row, errors: string[] | null = null): void {
    if (this.isDeaf) return;
    for (const channel of this.#channels) {
      const ids = channel.bindings.filter((binding) => matches(binding, type, table, record)).map(({ id }) => id);
      if (ids.length === 0) continue;
      const columns = Object.keys(record).map((name) => ({
        name,
        type: typeof record[name] === 'object' ? 'jsonb' : 'text',
      }));
      const rows = type === 'DELETE' ? { old_record: { id: record.id } } : { record, old_record: { id: record.id } };
      const data = { schema: 'public', table, type, commit_timestamp: this.#now(), columns, errors, ...rows };
      push(channel, 'postgres_changes', { ids, data });
    }
  }

  /** Broadcast streamed text on a task's private topic. */
  stream(id: unknown, delta: { seq: number; part: number; text: string; attempt?: number }): void {
    const { seq, part, text, attempt = 1 } = delta;
    const payload = {
      task_id: id,
      attempt,
      seq,
      part,
      events: [{ type: 'text-delta', data: { id: 'a', delta: text } }],
    };
    const message = { type: 'broadcast', event: 'delta', payload };
    this.#messages.push({ topic: `task:${id}`, at: Date.parse(this.#now()), payload: message });
    for (const channel of this.#channels) {
      if (channel.isPrivate && channel.topic === `task:${id}`) push(channel, 'broadcast', message);
    }
  }

  /** Cut every socket without a word. */
  cut(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  /** Close every channel, as for an expired token. */
  closeChannels(): void {
    for (const channel of [...this.#channels]) {
      push(channel, 'system', {
        extension: 'system',
        status: 'error',
        message: 'Token has expired',
        channel: channel.topic,
      });
      push(channel, 'phx_close', {});
      this.#channels.delete(channel);
    }
  }

  #hear(socket: WebSocket, isNew: boolean, text: string): void {
    const frame = JSON.parse(text);
    const [joinRef, ref, topic, event, payload] = isNew
      ? frame
      : [frame.join_ref, frame.ref, frame.topic, frame.event, frame.payload];
    const reply = (status: string, response: object) =>
      send(socket, isNew, [joinRef, ref, topic, 'phx_reply', { status, response }]);
    if (event === 'access_token') return;
    if (event === 'heartbeat') return void reply('ok', {});
    const name = topic.replace('realtime:', '');
    this.#forget((channel) => channel.socket === socket && channel.topic === name);
    if (event === 'phx_leave') return void reply('ok', {});
    const { private: isPrivate, postgres_changes: wanted, broadcast } = payload.config;
    this.joins.push(`${isPrivate ? 'private:' : ''}${name}`);
    if (isPrivate && this.refusePrivate !== null) return void reply('error', { reason: this.refusePrivate });
    if (broadcast.replay && this.refuseReplay !== null) return void reply('error', { reason: this.refuseReplay });
    const bindings = wanted.map((binding: Binding, index: number) => ({ ...binding, id: 1000 + index }));
    const channel = { socket, isNew, topic: name, joinRef, isPrivate, bindings };
    reply('ok', { postgres_changes: bindings });
    if (this.isDeaf) return;
    this.#channels.add(channel);
    const missed = this.#messages.filter(
      ({ topic, at }) => topic === name && at >= (broadcast.replay?.since ?? Number.POSITIVE_INFINITY),
    );
    for (const { payload } of missed.slice(-(broadcast.replay?.limit ?? 0))) push(channel, 'broadcast', payload);
    const message = 'Subscribed to PostgreSQL';
    push(channel, 'system', { extension: 'postgres_changes', status: 'ok', message, channel: name });
  }

  #forget(which: (channel: Joined) => boolean): void {
    for (const channel of [...this.#channels]) if (which(channel)) this.#channels.delete(channel);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url ?? '/', this.url);
    const cors = {
      'access-control-allow-origin': '*',
      'access-control-allow-headers': '*',
      'access-control-allow-methods': '*',
    };
    if (request.method === 'OPTIONS') return void response.writeHead(204, cors).end();
    const table = url.pathname.replace('/rest/v1/', '') as Table;
    this.requests.push(`${request.method} ${table}`);
    if (this.isDown) return void request.socket.destroy();
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : null;
    const reply = (status: number, value: unknown) =>
      response.writeHead(status, { ...cors, 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (request.method === 'POST') {
      if (this.refusal !== null) return void reply(this.refusal.status, this.refusal.body);
      if (this.tables[table].some((row) => row.id === body.id)) {
        return void reply(409, { code: '23505', message: 'duplicate key value', details: null, hint: null });
      }
      const task = this.add(body);
      const written = structuredClone(task);
      if (this.lostReplies > 0) {
        this.lostReplies -= 1;
        return void request.socket.destroy();
      }
      this.onInsert(task);
      return void reply(201, written);
    }
    const found = this.tables[table].filter((row) => isWanted(row, url.searchParams));
    if (request.method === 'PATCH') {
      for (const row of found) this.#patch(table, row, body);
      if (!request.headers.accept?.includes('object')) return void reply(200, found);
      return void (found[0] === undefined
        ? reply(406, { code: 'PGRST116', message: 'Cannot coerce', details: 'The result contains 0 rows', hint: null })
        : reply(200, found[0]));
    }
    if (url.searchParams.get('order')?.endsWith('desc')) found.reverse();
    reply(200, found.slice(0, Number(url.searchParams.get('limit') ?? 1000)));
  }

  #patch(table: Table, row: Row, body: Row): void {
    const status = row.status === 'pending' && table === 'agent_task_requests' ? 'cancelled' : row.status;
    Object.assign(row, body, { updated_at: this.#now(), status: table === 'human_tasks' ? 'completed' : status });
    this.tell('UPDATE', table, row);
  }

  #now(): string {
    this.#clock += 1;
    return new Date(this.#clock).toISOString().replace('Z', '000+00:00');
  }
}

function matches(binding: Binding, type: string, table: string, record: Row): boolean {
  if (binding.table !== table || (binding.event !== '*' && binding.event !== type)) return false;
  const [column, value] = binding.filter?.split('=eq.') ?? [];
  return column === undefined || record[column] === value;
}

function isWanted(row: Row, query: URLSearchParams): boolean {
  return [...query].every(([column, condition]) => {
    const [, operator, value] = /^(eq|gt|in)\.(.*)$/.exec(condition) ?? [];
    if (operator === 'eq') return `${row[column]}` === value;
    if (operator === 'gt') return Number(row[column]) > Number(value);
    if (operator === 'in') return value?.slice(1, -1).split(',').includes(`${row[column]}`);
    return true;
  });
}

function push(channel: Joined, event: string, payload: object): void {
  send(channel.socket, channel.isNew, [null, null, `realtime:${channel.topic}`, event, payload]);
}

function send(socket: WebSocket, isNew: boolean, frame: [unknown, unknown, string, string, object]): void {
  const [join_ref, ref, topic, event, payload] = frame;
  socket.send(JSON.stringify(isNew ? frame : { join_ref, ref, topic, event, payload }));
}
