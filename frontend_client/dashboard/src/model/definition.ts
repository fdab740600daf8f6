/** What a stored definition says of itself: what it is given and the steps it takes. */
import { isObject, type Json, type JsonObject, textOf } from './task';
import { NotRead, readYaml } from './yaml';

export interface PlannedStep {
  readonly name: string;
  readonly kind: string;
  /** What it works with, in a few words. */
  readonly facts: string;
  /** The steps inside it, by the name of their branch or case; '' where there is one list. */
  readonly inside: readonly { readonly label: string; readonly steps: readonly PlannedStep[] }[];
}

export interface Plan {
  /** JSON Schema of what a run is given. */
  readonly inputs: JsonObject;
  readonly steps: readonly PlannedStep[];
  readonly output: string;
}

/** Null where the document is written in a way that is not read here. */
export function planOf(content: JsonObject): Plan | null {
  let document: Json;
  try {
    document = readYaml(textOf(content, 'protocol'));
  } catch (error) {
    if (error instanceof NotRead) return null;
    throw error;
  }
  if (!isObject(document)) return null;
  return {
    inputs: schemaOf(objectAt(document, 'input')),
    steps: stepsOf(document.steps),
    output: textOf(document, 'output'),
  };
}

const SIMPLE = new Set(['string', 'number', 'integer', 'boolean']);

function schemaOf(inputs: JsonObject): JsonObject {
  const entries = Object.entries(inputs).filter((entry): entry is [string, JsonObject] => isObject(entry[1]));
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, input]) => [name, fieldOf(name, input)])),
    required: entries.filter(([, input]) => input.optional !== true && !('default' in input)).map(([name]) => name),
  };
}

function fieldOf(name: string, { type, description, default: preset, enum: choices }: JsonObject): JsonObject {
  const named = String(type ?? 'unknown');
  const item = named.endsWith('[]') ? named.slice(0, -2) : '';
  return {
    title: name,
    ...(SIMPLE.has(named) && { type: named }),
    ...(SIMPLE.has(item) && { type: 'array', items: { type: item } }),
    ...(description !== undefined && { description }),
    ...(preset !== undefined && { default: preset }),
    ...(choices !== undefined && { enum: choices }),
  };
}

function stepsOf(list: Json | undefined): readonly PlannedStep[] {
  if (!isObject(list)) return [];
  return Object.entries(list).map(([name, step]) => {
    const fields = isObject(step) ? step : {};
    return { name, kind: textOf(fields, 'block'), facts: factsOf(fields), inside: insideOf(fields) };
  });
}

function insideOf(step: JsonObject): PlannedStep['inside'] {
  const lists: readonly (readonly [string, Json | undefined])[] = [
    ['', step.steps],
    ['then', step.then],
    ['else', step.else],
    ...Object.entries(objectAt(step, 'cases')),
    ...Object.entries(objectAt(step, 'branches')),
    ['otherwise', step.block === 'branch' ? step.default : undefined],
  ];
  return lists.map(([label, list]) => ({ label, steps: stepsOf(list) })).filter(({ steps }) => steps.length > 0);
}

/** Fields that say what a step is about, with the word before each. */
const TOLD: readonly (readonly [string, string])[] = [
  ['if', 'if'],
  ['condition', ''],
  ['in', 'each of'],
  ['tool', ''],
  ['worker', ''],
  ['model', ''],
  ['thread', 'in'],
  ['variable', ''],
  ['resource', ''],
  ['for', 'for'],
  ['until', 'until'],
  ['concurrency', 'at once:'],
  ['output', '→'],
];

function factsOf(step: JsonObject): string {
  const facts = TOLD.flatMap(([field, word]) => {
    const value = step[field];
    return typeof value === 'string' || typeof value === 'number' ? [`${word} ${value}`.trim()] : [];
  });
  if (step.block === 'branch') facts.unshift(`by ${String(step.value)}`);
  return facts.join(' · ');
}

function objectAt(value: JsonObject, key: string): JsonObject {
  const found = value[key];
  return isObject(found) ? found : {};
}
