import { expect, test } from 'vitest';
import { ago, bytes, coarse, oneLine, precise } from '../../src/model/format';

const plain = (text: string) => text.replaceAll('\u00a0', ' ');

test.each([
  [-1, '<1 ms'],
  [0.0004, '<1 ms'],
  [0.0124, '12 ms'],
  [1.239, '1.24 s'],
  [75, '75 s'],
  [312, '5.2 min'],
  [11_160, '3.1 h'],
])('%f seconds are %s', (seconds, text) => {
  expect(plain(precise(seconds))).toBe(text);
});

test.each([
  [89, '89 s'],
  [90, '2 min'],
  [5400, '2 h'],
  [200_000, '2 d'],
])('%i seconds are about %s', (seconds, text) => {
  expect(plain(coarse(seconds))).toBe(text);
});

test('times are told from now', () => {
  const at = '2026-01-31T10:00:00Z';
  const told = [12_000, 400, -300_000].map((later) => plain(ago(at, Date.parse(at) + later)));
  expect(told).toEqual(['12 s ago', 'now', 'in 5 min']);
});

test('a text is cut to one line', () => {
  expect(oneLine(' a\n\n b ')).toBe('a b');
  expect(oneLine('abcdef', 4)).toBe('abc…');
});

test('sizes are told in steps of 1,024', () => {
  expect([0, 1023, 1024, 1.5 * 1024 * 1024].map((size) => plain(bytes(size)))).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 MiB',
  ]);
});
