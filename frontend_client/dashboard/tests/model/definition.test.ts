import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type PlannedStep, planOf } from '../../src/model/definition';
import { fieldsOf } from '../../src/model/schema';

function example(name: string) {
  const folder = resolve(import.meta.dirname, '../../../../examples/pipelines', name);
  return planOf({ protocol: readFileSync(resolve(folder, 'protocol.yaml'), 'utf8') });
}

function names(steps: readonly PlannedStep[]): readonly unknown[] {
  return steps.map((step) => [step.name, ...step.inside.map(({ label, steps: inner }) => [label, ...names(inner)])]);
}

describe('a stored definition', () => {
  test('is outlined with the steps inside its steps', () => {
    const plan = example('approve-reply');
    expect(names(plan?.steps ?? [])).toEqual([
      ['Choose the tone', ['complaint', ['Be sorry']], ['praise', ['Be glad']]],
      [
        'Prepare',
        ['Facts', ['Open the reader'], ['Hand over the letter'], ['Find the facts']],
        ['Writer', ['Open the writer']],
      ],
      ['Until it is approved', ['', ['Ask for a draft'], ['Draft'], ['Let a person decide']]],
    ]);
    expect(plan?.steps.map((step) => step.facts)).toEqual(['by KIND', '', 'until APPROVED']);
    expect(plan?.output).toBe('DRAFT');
  });

  test('makes a form of its inputs', () => {
    const fields = fieldsOf(example('approve-reply')?.inputs ?? {});
    expect(fields.map(({ label, kind, isRequired }) => [label, kind, isRequired])).toEqual([
      ['LETTER', 'longtext', true],
      ['KIND', 'choice', true],
      ['MODEL', 'text', false],
    ]);
    expect(fieldsOf(example('translate-each')?.inputs ?? {})[0]).toMatchObject({ label: 'TEXTS', kind: 'lines' });
  });

  test('is not outlined where it is written in a way that is not read', () => {
    expect(planOf({ protocol: 'steps: &all {}' })).toBeNull();
  });
});
