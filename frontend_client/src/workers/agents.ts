import { Connection, type ConnectionOptions } from './connection.js';
import { agentPath } from './run.js';

/** What a definition says of itself. */
export interface AgentSettings {
  /** Lower-case letters, digits and dashes. */
  readonly slug: string;
  readonly name: string;
  readonly description?: string;
  readonly format: 'worker' | 'interactive';
}

/** A definition, as one object; `docs/pipelines.md` tells what stands in it. */
export interface AgentDefinition {
  readonly settings: AgentSettings;
  /** The text of `protocol.yaml`. */
  readonly protocol: string;
  readonly prompts: readonly { readonly name: string; readonly content: string }[];
  readonly references?: readonly { readonly name: string; readonly description: string; readonly content: string }[];
}

/** Parts of a definition that change; a slug stays as it is. */
export type AgentParts = Partial<Omit<AgentDefinition, 'settings'>> & { readonly settings?: Partial<AgentSettings> };

/** An agent, as lists show it. */
export interface Agent {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly description: string | null;
  readonly format: 'worker' | 'interactive';
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** A mistake in a definition, or something that looks like one. */
export interface ValidationProblem {
  readonly message: string;
  /** Where in the document, such as `steps.Ask.thread`. */
  readonly path?: string;
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly severity: 'error' | 'warning';
}

/** What is wrong with a definition. */
export interface ValidationResult {
  readonly valid: boolean;
  readonly errors: readonly ValidationProblem[];
  readonly warnings: readonly ValidationProblem[];
}

/** What a change of an agent is answered with. */
export interface AgentChanged {
  readonly agentId: string;
  readonly message: string;
}

/**
 * The definitions that the gateway keeps; for the secret key and for operators. Every call throws a `WorkerError` when
 * it is refused; its `code` says why.
 *
 * @example
 * ```ts
 * const agents = new AgentsApi({ baseUrl: 'http://127.0.0.1:54321', apiKey: process.env.AGENT_WORKER_SECRET_KEY });
 * for (const { slug, format } of await agents.list()) console.log(slug, format);
 * ```
 */
export class AgentsApi {
  readonly #connection: Connection;

  constructor(options: ConnectionOptions | Connection) {
    this.#connection = options instanceof Connection ? options : new Connection(options);
  }

  /** All that are not archived. */
  async list(): Promise<readonly Agent[]> {
    const { agents } = await this.#connection.json<{ agents: readonly Agent[] }>(
      { method: 'GET', path: '/api/agents' },
      3,
    );
    return agents;
  }

  /** The newest version of one, by id or slug. */
  get(reference: string): Promise<AgentDefinition & { readonly id: string; readonly version: number }> {
    return this.#connection.json({ method: 'GET', path: pathOf(reference) }, 3);
  }

  /** Look for mistakes; nothing is kept. */
  validate(definition: AgentDefinition): Promise<ValidationResult> {
    return this.#connection.json({ method: 'POST', path: '/api/agents/validate', body: definition }, 3);
  }

  /** Keep a new one; refused when its slug is taken. */
  create(definition: AgentDefinition): Promise<AgentChanged> {
    return this.#connection.json({ method: 'POST', path: '/api/agents', body: definition }, 1);
  }

  /** Keep a new version: what is given in the place of what was there. The same content again makes none. */
  update(reference: string, parts: AgentParts): Promise<AgentChanged> {
    return this.#connection.json({ method: 'PATCH', path: pathOf(reference), body: parts }, 3);
  }

  /** Archive one; runs that have begun go on. */
  async delete(reference: string): Promise<void> {
    await this.#connection.json({ method: 'DELETE', path: pathOf(reference) }, 1);
  }
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function pathOf(reference: string): string {
  return ID.test(reference) ? agentPath(reference) : `${agentPath(reference)}?by=slug`;
}
