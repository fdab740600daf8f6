import { describe, expect, test } from 'vitest';
import { idsToRead, MOST_UNSEEN, NOTHING, reduceList, type TaskList } from '../../src/model/list';
import { EVERYTHING, parseSearch } from '../../src/model/qualifiers';
import { at, change, row } from './samples';

const NOW = Date.parse(at(60));
const loaded = (...rows: ReturnType<typeof row>[]): TaskList =>
  reduceList(NOTHING, { type: 'loaded', rows, hasMore: false });
const changed = (list: TaskList, changes: ReturnType<typeof change>[], search = EVERYTHING): TaskList =>
  reduceList(list, { type: 'changed', changes, search, now: NOW });

describe('a list that does not jump', () => {
  test('changes a row where it is', () => {
    const list = changed(loaded(row({ id: 'a' }), row({ id: 'b' })), [
      change({ id: 'b', status: 'processing', updated_at: at(5) }),
    ]);
    expect(list.rows.map((one) => [one.id, one.status])).toEqual([
      ['a', 'pending'],
      ['b', 'processing'],
    ]);
    expect(list.unseen.size).toBe(0);
  });

  test('keeps what a change does not carry', () => {
    const list = changed(loaded(row({ id: 'a', prompt: 'Hello' })), [
      change({ id: 'a', status: 'processing', updated_at: at(5) }),
    ]);
    expect(list.rows[0]?.prompt).toBe('Hello');
  });

  test('forgets why a task failed when it runs again', () => {
    const failed = row({ id: 'a', status: 'failed', code: 'rate_limited', error: 'Too many.' });
    const list = changed(loaded(failed), [change({ id: 'a', status: 'pending', updated_at: at(5) })]);
    expect(list.rows[0]).toMatchObject({ status: 'pending', code: null, error: null });
  });

  test('lets new tasks wait, each counted once', () => {
    const list = changed(loaded(row({ id: 'a' })), [
      change({ id: 'new' }),
      change({ id: 'new', status: 'processing', updated_at: at(2) }),
    ]);
    expect(list.rows.map((one) => one.id)).toEqual(['a']);
    expect([...list.unseen]).toEqual(['new']);
  });

  test('counts no further than it can show', () => {
    const many = Array.from({ length: MOST_UNSEEN + 50 }, (_, index) => change({ id: `new-${index}` }));
    expect(changed(loaded(), many).unseen.size).toBe(MOST_UNSEEN);
  });

  test('counts what comes to belong to the search, and no more what leaves it', () => {
    const { search } = parseSearch('status:failed');
    const came = changed(loaded(), [change({ id: 'x', status: 'failed' })], search);
    expect([...came.unseen]).toEqual(['x']);
    const left = changed(came, [change({ id: 'x', status: 'pending', updated_at: at(9) })], search);
    expect(left.unseen.size).toBe(0);
  });

  test('keeps a row that no longer fits, until somebody reloads', () => {
    const { search } = parseSearch('status:processing');
    const list = changed(
      loaded(row({ id: 'a', status: 'processing' })),
      [change({ id: 'a', status: 'completed', updated_at: at(9) })],
      search,
    );
    expect(list.rows.map((one) => one.status)).toEqual(['completed']);
  });

  test('drops what arrives late or twice', () => {
    const fresh = loaded(row({ id: 'a', status: 'completed', updated_at: '2026-01-31T10:00:05.000200+00:00' }));
    const late = change({ id: 'a', status: 'processing', updated_at: '2026-01-31T10:00:05.000100+00:00' });
    expect(changed(fresh, [late]).rows[0]?.status).toBe('completed');
  });

  test('takes the newest of several changes, in whatever order they come', () => {
    const list = changed(loaded(row({ id: 'a' })), [
      change({ id: 'a', status: 'completed', updated_at: at(9) }),
      change({ id: 'a', status: 'processing', updated_at: at(3) }),
    ]);
    expect(list.rows[0]?.status).toBe('completed');
  });

  test('shows all that waited when it is loaded anew', () => {
    const loading = reduceList(changed(loaded(), [change({ id: 'new' })]), { type: 'loading' });
    const again = reduceList(loading, { type: 'loaded', rows: [row({ id: 'new' })], hasMore: false });
    expect([again.rows.length, again.unseen.size]).toEqual([1, 0]);
  });

  test('loses nothing that comes while it is loaded anew', () => {
    const loading = reduceList(loaded(row({ id: 'a' })), { type: 'loading' });
    const meanwhile = changed(loading, [
      change({ id: 'new' }),
      change({ id: 'a', status: 'completed', updated_at: at(9) }),
    ]);
    const again = reduceList(meanwhile, { type: 'loaded', rows: [row({ id: 'a' })], hasMore: false });
    expect(again.rows.map((one) => one.status)).toEqual(['completed']);
    expect([...again.unseen]).toEqual(['new']);
  });

  test('adds older tasks without repeating one', () => {
    const list = reduceList(loaded(row({ id: 'a' }), row({ id: 'b' })), {
      type: 'older',
      rows: [row({ id: 'b' }), row({ id: 'c' })],
      hasMore: true,
    });
    expect(list.rows.map((one) => one.id)).toEqual(['a', 'b', 'c']);
  });

  test('while changes do not flow, counts what a look finds, and forgets what it does not', () => {
    const before = changed(loaded(row({ id: 'a' })), [change({ id: 'gone' })]);
    const looked = reduceList(before, {
      type: 'looked',
      rows: [row({ id: 'new' }), row({ id: 'a', status: 'completed', updated_at: at(9) })],
      hasMore: true,
    });
    expect(looked.rows.map((one) => [one.id, one.status])).toEqual([['a', 'completed']]);
    expect([...looked.unseen]).toEqual(['new']);
    expect(looked.hasUncounted).toBe(false);
    const flooded = reduceList(before, { type: 'looked', rows: [row({ id: 'x' }), row({ id: 'y' })], hasMore: true });
    expect([flooded.unseen.size, flooded.hasUncounted]).toEqual([2, true]);
  });

  test('drops what was deleted, shown or not', () => {
    const both = changed(loaded(row({ id: 'a' })), [change({ id: 'new' })]);
    const gone = ['a', 'new'].reduce((list, id) => reduceList(list, { type: 'deleted', id }), both);
    expect([gone.rows.length, gone.unseen.size]).toEqual([0, 0]);
  });
});

test('only shown rows that failed are read again', () => {
  const list = loaded(row({ id: 'a' }), row({ id: 'b' }));
  const changes = [
    change({ id: 'a', status: 'failed' }),
    change({ id: 'b', status: 'completed' }),
    change({ id: 'c', status: 'failed' }),
    change({ id: 'a', status: 'failed' }),
  ];
  expect(idsToRead(list, changes)).toEqual(['a']);
});
