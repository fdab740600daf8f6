import { describe, expect, test } from 'vitest';
import { parseRoute, type Route, writeRoute } from '../../src/model/route';
import { insertStatement, supabaseSnippet } from '../../src/model/snippet';

describe('addresses', () => {
  test.each<Route>([
    { page: 'tasks', search: '' },
    { page: 'tasks', search: 'status:failed tenant:"Acme & Söhne" since:14:05' },
    { page: 'task', id: '0a1b2c3d-0000-4000-8000-000000000001' },
    { page: 'workers' },
    { page: 'inbox', id: null },
    { page: 'inbox', id: 'x' },
    { page: 'play', kind: 'chat', from: null },
    { page: 'play', kind: 'chat', from: 'abc' },
  ])('lead back to where they were made: %o', (route) => {
    expect(parseRoute(writeRoute(route))).toEqual(route);
  });

  test.each(['', '#', '#/', '#/nowhere', '#nonsense?q', '#/tasks/'])('that lead nowhere show all tasks: %j', (hash) => {
    expect(parseRoute(hash)).toEqual({ page: 'tasks', search: '' });
  });

  test('with a broken escape are taken as they are', () => {
    expect(parseRoute('#/tasks/%E0%A4%A')).toEqual({ page: 'task', id: '%E0%A4%A' });
  });
});

describe('code to copy', () => {
  const asked = { kind: "it's", request_payload: { prompt: "Don't\nstop", 'odd key': 1 } };

  test('is valid whatever stands in the payload', () => {
    const code = supabaseSnippet('http://127.0.0.1:1', "k'ey", asked);
    expect(code).toContain("createClient('http://127.0.0.1:1', 'k\\'ey')");
    const inserted = /\.insert\(([\s\S]*?)\)\n {2}\.select/u.exec(code)?.[1] ?? '';
    expect(new Function(`return (${inserted})`)()).toEqual({ ...asked });
  });

  test('quotes SQL', () => {
    expect(insertStatement(asked)).toContain(`VALUES ('it''s', '{"prompt":"Don''t\\nstop","odd key":1}')`);
  });
});
