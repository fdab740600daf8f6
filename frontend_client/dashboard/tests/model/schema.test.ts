import { describe, expect, test } from 'vitest';
import { decisionField, fieldsOf, initialValues, readForm } from '../../src/model/schema';
import type { JsonObject } from '../../src/model/task';

/** As pydantic writes a model with optional fields. */
const CHAT: JsonObject = {
  $defs: { Role: { enum: ['system', 'user'], type: 'string' }, Message: { type: 'object' } },
  properties: {
    prompt: { anyOf: [{ minLength: 1, type: 'string' }, { type: 'null' }], default: null, title: 'Prompt' },
    messages: { anyOf: [{ items: { $ref: '#/$defs/Message' }, type: 'array' }, { type: 'null' }], default: null },
    role: { $ref: '#/$defs/Role', description: 'Who speaks.' },
    temperature: { anyOf: [{ maximum: 2, minimum: 0, type: 'number' }, { type: 'null' }], default: null },
    max_tokens: { anyOf: [{ minimum: 1, type: 'integer' }, { type: 'null' }], default: null },
    tags: { type: 'array', items: { type: 'string' } },
    topics: { type: 'array', items: { enum: ['sql', 'ai'] } },
    isUrgent: { type: 'boolean', default: false },
  },
  required: ['role'],
  type: 'object',
};

const kinds = (schema: JsonObject) => Object.fromEntries(fieldsOf(schema).map((field) => [field.name, field.kind]));

describe('fields', () => {
  test('follow references and optional unions', () => {
    expect(kinds(CHAT)).toEqual({
      prompt: 'longtext',
      messages: 'json',
      role: 'choice',
      temperature: 'number',
      max_tokens: 'integer',
      tags: 'lines',
      topics: 'choices',
      isUrgent: 'boolean',
    });
  });

  test('have readable names', () => {
    expect(fieldsOf(CHAT).map((field) => field.label)).toEqual([
      'Prompt',
      'Role',
      'Messages',
      'Temperature',
      'Max tokens',
      'Tags',
      'Topics',
      'Is urgent',
    ]);
  });

  test('of constants are a choice', () => {
    const schema = { properties: { size: { oneOf: [{ const: 'S' }, { const: 'L' }] } } };
    expect(fieldsOf(schema)[0]).toMatchObject({ kind: 'choice', options: ['S', 'L'] });
  });

  test('come in the order of their use, for the database keeps none', () => {
    const schema = {
      properties: { b: { type: 'string' }, prompt: { type: 'string' }, a: { type: 'string' } },
      required: ['a'],
    };
    expect(fieldsOf(schema).map((field) => field.name)).toEqual(['prompt', 'a', 'b']);
  });

  test.each<[string, JsonObject]>([
    ['no properties', {}],
    ['properties that are no object', { properties: 3 }],
    ['a field that is no schema', { properties: { a: true } }],
    ['a reference into nothing', { properties: { a: { $ref: '#/$defs/Nobody' } } }],
    ['a reference to itself', { properties: { a: { $ref: '#/properties/a' } } }],
    ['a reference to elsewhere', { properties: { a: { $ref: 'other.json' } } }],
  ])('survive %s', (_, schema) => {
    for (const field of fieldsOf(schema)) expect(field.kind).toBe('json');
  });
});

describe('what was typed', () => {
  const fields = fieldsOf(CHAT);

  test('becomes the payload, and what was left out stays out', () => {
    const values = {
      prompt: 'Hello',
      role: '1',
      temperature: '0.5',
      max_tokens: '10',
      tags: ' a \n\nb',
      topics: [1],
      isUrgent: true,
      messages: '[{"role": "user"}]',
    };
    expect(readForm(fields, values)).toEqual({
      payload: {
        prompt: 'Hello',
        messages: [{ role: 'user' }],
        role: 'user',
        temperature: 0.5,
        max_tokens: 10,
        tags: ['a', 'b'],
        topics: ['ai'],
        isUrgent: true,
      },
      errors: {},
    });
    expect(readForm(fields, { role: '0' }).payload).toEqual({ role: 'system' });
  });

  test.each([
    ['role', '', 'needed'],
    ['temperature', 'warm', 'a number'],
    ['temperature', '3', 'At most 2'],
    ['max_tokens', '1.5', 'whole number'],
    ['max_tokens', '0', 'At least 1'],
    ['messages', '[', 'no JSON'],
  ])('is refused where %s is %j', (name, typed, problem) => {
    expect(readForm(fields, { role: '0', [name]: typed }).errors[name]).toContain(problem);
  });

  test('keeps its spaces where it is text, and is nothing where it is only spaces', () => {
    expect(readForm(fields, { role: '0', prompt: ' a ' }).payload).toEqual({ role: 'system', prompt: ' a ' });
    expect(readForm(fields, { role: '0', prompt: '  ' }).payload).toEqual({ role: 'system' });
  });

  test('is checked against a pattern, and not against one that cannot be read', () => {
    const [code, odd] = fieldsOf({
      properties: { code: { type: 'string', pattern: '^[A-Z]+$' }, odd: { type: 'string', pattern: '(?<' } },
    });
    if (!code || !odd) throw new Error('both are fields');
    expect(readForm([code, odd], { code: 'a', odd: 'x' }).errors).toEqual({ code: 'Must match ^[A-Z]+$.' });
  });
});

test('an earlier payload comes back as it was', () => {
  const fields = fieldsOf(CHAT);
  const payload = { prompt: 'Hi', role: 'user', topics: ['ai'], tags: ['a', 'b'], temperature: 1, isUrgent: true };
  expect(readForm(fields, initialValues(fields, payload)).payload).toEqual(payload);
});

test('an approval is decided by its one required yes or no', () => {
  const approval = fieldsOf({
    properties: { approved: { type: 'boolean' }, note: { type: 'string' } },
    required: ['approved'],
  });
  expect(decisionField(approval)?.name).toBe('approved');
  expect(decisionField(fieldsOf(CHAT))).toBeNull();
});
