import { describe, expect, test } from 'vitest';
import { idRange, matches, momentOf, parseSearch, writeSearch } from '../../src/model/qualifiers';
import { row } from './samples';

const NOW = new Date(2026, 0, 31, 15, 0, 0).getTime();

describe('the search box', () => {
  test('reads every qualifier, in any order', () => {
    const { search, problems } = parseSearch(
      'since:1h status:failed,waiting kind:chat tenant:acme code:rate_limited id:0A1B-2c until:14:30',
    );
    expect(problems).toEqual([]);
    expect(search).toEqual({
      statuses: ['waiting', 'failed'],
      kind: 'chat',
      tenant: 'acme',
      code: 'rate_limited',
      id: '0a1b2c',
      since: '1h',
      until: '14:30',
    });
  });

  test('reads a value with spaces when it is quoted', () => {
    expect(parseSearch('tenant:"Acme Inc" kind:chat').search).toEqual({
      statuses: [],
      tenant: 'Acme Inc',
      kind: 'chat',
    });
  });

  test('takes a pasted id and the bare name of a state', () => {
    expect(parseSearch('0a1b2c3d-0000-4000-8000-000000000001').search.id).toBe('0a1b2c3d000040008000000000000001');
    expect(parseSearch('failed').search.statuses).toEqual(['failed']);
  });

  test.each([
    ['status:broken', 'is no status'],
    ['since:yesterday', 'is no time'],
    ['since:25:99', 'is no time'],
    ['id:xyz', 'digits 0-9 and a-f'],
    ['user:me', 'is no qualifier'],
    ['hello', 'is no qualifier'],
    ['kind:""', 'needs a value'],
  ])('says what is wrong with %s and keeps the rest', (word, problem) => {
    const { search, problems } = parseSearch(`${word} tenant:acme`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(search).toEqual({ statuses: [], tenant: 'acme' });
  });

  test.each(['', 'kind:chat', 'kind:chat status:pending,failed tenant:"Acme Inc" since:1h until:14:30 id:0a1b'])(
    'writes what it reads: %s',
    (text) => {
      expect(writeSearch(parseSearch(text).search)).toBe(text);
    },
  );

  test('takes a colon and a comma as part of a value', () => {
    expect(parseSearch('tenant:eu:acme,1').search.tenant).toBe('eu:acme,1');
  });
});

describe('times', () => {
  test('are spans back from now, times of today, or dates', () => {
    expect(momentOf('30s', NOW)).toBe(NOW - 30_000);
    expect(momentOf('2d', NOW)).toBe(NOW - 172_800_000);
    expect(momentOf('14:05', NOW)).toBe(new Date(2026, 0, 31, 14, 5).getTime());
    expect(momentOf('2026-01-30T00:00:00Z', NOW)).toBe(Date.UTC(2026, 0, 30));
  });

  test.each(['', 'soon', '1', '1w', '24:00', '2026-99-99'])('are not %j', (text) => {
    expect(momentOf(text, NOW)).toBeNull();
  });
});

describe('ids by their first digits', () => {
  test('are a range of which both ends are ids', () => {
    expect(idRange('0a1b')).toEqual(['0a1b0000-0000-0000-0000-000000000000', '0a1bffff-ffff-ffff-ffff-ffffffffffff']);
  });
});

describe('whether a row belongs to the list', () => {
  const changed = row({ updated_at: new Date(NOW - 60_000).toISOString(), kind: 'chat', enterprise_id: 'acme' });

  test.each([
    ['', true],
    ['status:pending', true],
    ['status:failed', false],
    ['kind:echo', false],
    ['tenant:acme since:5m', true],
    ['since:30s', false],
    ['until:5m', false],
    ['until:30s', true],
    ['id:0a1b', true],
    ['id:ffff', false],
  ])('%s: %s', (text, expected) => {
    expect(matches(changed, parseSearch(text).search, NOW)).toBe(expected);
  });
});
