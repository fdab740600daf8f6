import { describe, expect, it, vi } from 'vitest';
import { type AgentDefinition, AgentsApi, AgentWorkerClient, WorkerError } from '../../src/workers/index.js';
import { json, ScriptedGateway } from './gateway.js';

const ID = '0198b2c4-7f51-7c3e-9c55-2f7d1a3b4c5d';
const DEFINITION: AgentDefinition = {
  settings: { slug: 'title', name: 'Title', format: 'worker' },
  protocol: 'steps: {}',
  prompts: [{ name: 'system', content: 'You help.' }],
};

describe('definitions', () => {
  it('are listed, read, checked, kept, changed and archived', async () => {
    const gateway = await ScriptedGateway.start();
    const agents = new AgentWorkerClient({ baseUrl: gateway.url, apiKey: 'sb_secret_test' }).agents;
    const bodies = [{ agents: [{ id: ID }] }, { ...DEFINITION, id: ID }, { valid: true, errors: [], warnings: [] }];
    const changed = { agentId: ID, message: 'kept' };
    gateway.script = [...bodies, changed, changed, changed].map((body) => (response) => json(response, 200, body));

    expect(await agents.list()).toEqual([{ id: ID }]);
    expect(await agents.get(ID)).toEqual({ ...DEFINITION, id: ID });
    expect(await agents.validate(DEFINITION)).toEqual({ valid: true, errors: [], warnings: [] });
    expect(await agents.create(DEFINITION)).toEqual(changed);
    expect(await agents.update('title', { protocol: 'steps: {}', prompts: [] })).toEqual(changed);
    await agents.delete('title');

    expect(gateway.paths).toEqual([
      'GET /api/agents',
      `GET /api/agents/${ID}`,
      'POST /api/agents/validate',
      'POST /api/agents',
      'PATCH /api/agents/title?by=slug',
      'DELETE /api/agents/title?by=slug',
    ]);
    expect(gateway.asked[3]?.body).toEqual(DEFINITION);
    expect(gateway.asked[4]?.body).toEqual({ protocol: 'steps: {}', prompts: [] });
  });

  it('that are refused throw why', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = [(response) => json(response, 409, { error: 'There is an agent title.', code: 'slug_taken' })];

    const error: unknown = await new AgentsApi(gateway.connection()).create(DEFINITION).catch((thrown) => thrown);

    expect(error).toBeInstanceOf(WorkerError);
    expect(error).toMatchObject({ message: 'There is an agent title.', code: 'slug_taken', status: 409 });
  });

  it('are asked for again when nobody answered, but not made again', async () => {
    const gateway = await ScriptedGateway.start();
    const agents = new AgentsApi(gateway.connection());
    const later = Array(2).fill((response: Parameters<typeof json>[0]) => response.socket?.destroy());
    gateway.script = [...later, (response) => json(response, 200, { agents: [] })];
    expect(await agents.list()).toEqual([]);

    gateway.script = later;
    await expect(agents.create(DEFINITION)).rejects.toMatchObject({ code: 'connection_lost' });
    expect(gateway.paths.filter((path) => path === 'POST /api/agents')).toHaveLength(1);
  });

  it('are given up after three silent minutes, so to say', async () => {
    const gateway = await ScriptedGateway.start();
    gateway.script = Array(3).fill(() => {});
    // Counted here: a request may be given up before it has arrived.
    const asking = vi.fn(fetch);

    await expect(new AgentsApi(gateway.connection({ fetch: asking }, { idleMs: 20 })).list()).rejects.toMatchObject({
      code: 'connection_lost',
    });
    expect(asking).toHaveBeenCalledTimes(3);
  });
});
