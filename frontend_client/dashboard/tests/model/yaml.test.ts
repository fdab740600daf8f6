import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NotRead, readYaml } from '../../src/model/yaml';

const EXAMPLES = resolve(import.meta.dirname, '../../../../examples/pipelines');

describe('a definition’s YAML', () => {
  test('is mappings and lists by indentation or in brackets', () => {
    const text = `
# what it is
input:
  TOPIC: {type: string, enum: [a, 'b, c']}   # a comment
  "two words": 1
list:
- one
- name: two
  of: [1, 2.5, -3]
-
  deep: yes
empty:
spread: [
  first,
  {a: "x # y", b: null},
  LABEL: SOURCE,
]
`;
    expect(readYaml(text)).toEqual({
      input: { TOPIC: { type: 'string', enum: ['a', 'b, c'] }, 'two words': 1 },
      list: ['one', { name: 'two', of: [1, 2.5, -3] }, { deep: 'yes' }],
      empty: null,
      spread: ['first', { a: 'x # y', b: null }, { LABEL: 'SOURCE' }],
    });
  });

  test('is read by the rules of 1.2: off is a text, and so are 16:9 and a date', () => {
    expect(readYaml('a: off\nb: 16:9\nc: 2024-01-01\nd: true\ne: ~\nf: it isn’t "so"\ng: string[]')).toEqual({
      a: 'off',
      b: '16:9',
      c: '2024-01-01',
      d: true,
      e: null,
      f: 'it isn’t "so"',
      g: 'string[]',
    });
  });

  test('holds texts of several lines', () => {
    expect(readYaml('a: |\n  one\n    two\n\nb: >-\n  three\n  four\nc: five\n  six\n')).toEqual({
      a: 'one\n  two\n',
      b: 'three four',
      c: 'five six',
    });
  });

  test('is not guessed at where it has anchors, tags or no keys', () => {
    for (const text of ['a: &x 1', 'a: *x', 'a: !!str 1', '? a\n: b', 'a: [1', 'a: 1\n  b: 2\n c: 3'])
      expect(() => readYaml(text), text).toThrow(NotRead);
  });

  test.each(readdirSync(EXAMPLES))('of the example %s is read', (name) => {
    const read = readYaml(readFileSync(join(EXAMPLES, name, 'protocol.yaml'), 'utf8')) as Record<string, object>;
    expect(Object.keys(read)).toContain('steps');
    for (const step of Object.values(read.steps ?? {})) expect(step).toHaveProperty('block');
  });
});
