import { AgentsApi } from './agents.js';
import { Connection, type ConnectionOptions } from './connection.js';
import { WorkersApi } from './workers.js';

/**
 * Runs workers and keeps definitions, over one gateway.
 *
 * @example
 * ```ts
 * const client = new AgentWorkerClient({
 *   baseUrl: 'http://127.0.0.1:54321',
 *   apiKey: process.env.AGENT_WORKER_SECRET_KEY,
 * });
 * const { output } = await client.workers.generate('title', { TEXT: 'Rain again.' });
 * ```
 */
export class AgentWorkerClient {
  readonly workers: WorkersApi;
  readonly agents: AgentsApi;

  constructor(options: ConnectionOptions) {
    const connection = new Connection(options);
    this.workers = new WorkersApi(connection);
    this.agents = new AgentsApi(connection);
  }
}
