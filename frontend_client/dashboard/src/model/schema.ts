/**
 * Forms from JSON Schema: what fields an object has, and what was typed into them.
 *
 * Covers what people are asked for: texts, numbers, yes or no, choices, lists of texts. Everything else (nested
 * objects, unions) is typed as JSON. `$ref` within the document and unions with null, as pydantic writes optional
 * fields, are followed.
 */
import { isObject, type Json, type JsonObject, textOf } from './task';

export type FieldKind =
  | 'text'
  | 'longtext'
  | 'number'
  | 'integer'
  | 'boolean'
  | 'choice'
  | 'choices'
  | 'lines'
  | 'json';

export interface Field {
  readonly name: string;
  readonly label: string;
  readonly kind: FieldKind;
  readonly isRequired: boolean;
  readonly description: string;
  readonly options: readonly Json[];
  readonly schema: JsonObject;
}

/** What stands in the inputs: text, a tick, or ticked options by their place. Absent: untouched. */
export type FormValues = Readonly<Record<string, string | boolean | readonly number[]>>;

export interface FormReading {
  readonly payload: JsonObject;
  /** One sentence per field that is wrong. */
  readonly errors: Readonly<Record<string, string>>;
}

const LONG = /^(prompt|system|content|text|body|note|message|comment|description|instructions|question|letter)$/iu;

export function fieldsOf(schema: JsonObject): readonly Field[] {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : [];
  const fields = Object.entries(properties).map(([name, raw]) => {
    const own = plain(isObject(raw) ? raw : {}, schema);
    const options = optionsOf(own, schema);
    return {
      name,
      label: textOf(own, 'title') || words(name),
      kind: kindOf(name, own, schema, options),
      isRequired: required.includes(name),
      description: textOf(own, 'description'),
      options,
      schema: own,
    };
  });
  // PostgreSQL keeps no order of names: what is needed comes first, and before it what everything is asked with.
  const rank = (field: Field) => (field.name === 'prompt' ? 0 : field.isRequired ? 1 : 2);
  return fields.toSorted((a, b) => rank(a) - rank(b));
}

/** What the inputs hold before anybody typed: defaults, and a task's earlier payload. */
export function initialValues(fields: readonly Field[], given: JsonObject = {}): FormValues {
  const values: Record<string, string | boolean | readonly number[]> = {};
  for (const field of fields) {
    const value = given[field.name] ?? field.schema.default;
    if (value === undefined || value === null) continue;
    values[field.name] = toInput(field, value);
  }
  return values;
}

export function readForm(fields: readonly Field[], values: FormValues): FormReading {
  const payload: Record<string, Json> = {};
  const errors: Record<string, string> = {};
  for (const field of fields) {
    const read = readField(field, values[field.name]);
    if (read.error !== undefined) errors[field.name] = read.error;
    else if (read.value !== undefined) payload[field.name] = read.value;
    else if (field.isRequired) errors[field.name] = 'This is needed.';
  }
  return { payload, errors };
}

/** The one yes-or-no of an approval's form: with it, approve and reject are buttons. */
export function decisionField(fields: readonly Field[]): Field | null {
  const ticks = fields.filter((field) => field.kind === 'boolean' && field.isRequired);
  return ticks.length === 1 ? (ticks[0] ?? null) : null;
}

interface ReadField {
  readonly value?: Json;
  readonly error?: string;
}

function readField(field: Field, input: FormValues[string] | undefined): ReadField {
  if (field.kind === 'boolean') return typeof input === 'boolean' ? { value: input } : {};
  if (field.kind === 'choices') {
    const picked = Array.isArray(input) ? (input as readonly number[]) : [];
    return picked.length > 0 ? { value: picked.map((index) => field.options[index] ?? null) } : {};
  }
  const typed = typeof input === 'string' ? input : '';
  if (typed.trim() === '') return {};
  switch (field.kind) {
    case 'choice':
      return { value: field.options[Number(typed)] ?? null };
    case 'number':
    case 'integer':
      return readNumber(field, typed);
    case 'lines':
      return {
        value: typed
          .split('\n')
          .map((line) => line.trim())
          .filter(Boolean),
      };
    case 'json':
      return readJson(typed);
    default:
      return readText(field, typed);
  }
}

function readText({ schema }: Field, typed: string): ReadField {
  const { minLength, maxLength, pattern } = schema;
  if (typeof minLength === 'number' && typed.length < minLength) return { error: `At least ${minLength} characters.` };
  if (typeof maxLength === 'number' && typed.length > maxLength) return { error: `At most ${maxLength} characters.` };
  if (typeof pattern === 'string' && !matchesPattern(pattern, typed)) return { error: `Must match ${pattern}.` };
  return { value: typed };
}

function readNumber({ kind, schema }: Field, typed: string): ReadField {
  const value = Number(typed);
  if (!Number.isFinite(value)) return { error: 'This must be a number.' };
  if (kind === 'integer' && !Number.isInteger(value)) return { error: 'This must be a whole number.' };
  const { minimum, maximum } = schema;
  if (typeof minimum === 'number' && value < minimum) return { error: `At least ${minimum}.` };
  if (typeof maximum === 'number' && value > maximum) return { error: `At most ${maximum}.` };
  return { value };
}

/** Parse what somebody typed as JSON; the error is for people. */
export function readJson(typed: string): { value: Json } | { error: string } {
  try {
    return { value: JSON.parse(typed) as Json };
  } catch (error) {
    return { error: `This is no JSON: ${error instanceof Error ? error.message : String(error)}.` };
  }
}

function toInput(field: Field, value: Json): string | boolean | readonly number[] {
  switch (field.kind) {
    case 'boolean':
      return value === true;
    case 'choice': {
      const place = field.options.findIndex((option) => same(option, value));
      return place < 0 ? '' : String(place);
    }
    case 'choices': {
      const wanted = Array.isArray(value) ? (value as readonly Json[]) : [];
      return field.options.flatMap((option, index) => (wanted.some((one) => same(one, option)) ? [index] : []));
    }
    case 'lines':
      return Array.isArray(value) ? value.join('\n') : '';
    case 'json':
      return JSON.stringify(value, null, 2);
    default:
      return typeof value === 'string' ? value : JSON.stringify(value);
  }
}

function kindOf(name: string, own: JsonObject, root: JsonObject, options: readonly Json[]): FieldKind {
  switch (own.type) {
    case 'boolean':
      return 'boolean';
    case 'number':
    case 'integer':
      return options.length > 0 ? 'choice' : own.type;
    case 'array': {
      if (options.length > 0) return 'choices';
      const items = isObject(own.items) ? plain(own.items, root) : {};
      return items.type === 'string' ? 'lines' : 'json';
    }
    case 'string': {
      if (options.length > 0) return 'choice';
      const isLong = LONG.test(name) || own.format === 'textarea' || Number(own.maxLength ?? 0) > 120;
      return isLong ? 'longtext' : 'text';
    }
    default:
      return options.length > 0 ? 'choice' : 'json';
  }
}

function optionsOf(own: JsonObject, root: JsonObject): readonly Json[] {
  const from = own.type === 'array' && isObject(own.items) ? plain(own.items, root) : own;
  if (Array.isArray(from.enum)) return (from.enum as readonly Json[]).filter((option) => option !== null);
  const variants = (from.oneOf ?? from.anyOf) as Json | undefined;
  if (!Array.isArray(variants)) return [];
  const constants = variants.flatMap((variant) =>
    isObject(variant) && 'const' in variant ? [variant.const as Json] : [],
  );
  return constants.length === variants.length ? constants : [];
}

/** Follow references, and take the one variant of a union that is not null. */
function plain(schema: JsonObject, root: JsonObject, depth = 0): JsonObject {
  if (depth > 8) return {};
  const reference = schema.$ref;
  if (typeof reference === 'string') {
    const target = reference.startsWith('#/') ? lookUp(root, reference.slice(2).split('/')) : undefined;
    return { ...(isObject(target) ? plain(target, root, depth + 1) : {}), ...without(schema, '$ref') };
  }
  const variants = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(variants)) {
    const rest = (variants as readonly Json[]).filter((one) => isObject(one) && one.type !== 'null');
    const only = rest.length === 1 ? rest[0] : undefined;
    if (isObject(only)) return { ...plain(only, root, depth + 1), ...without(without(schema, 'anyOf'), 'oneOf') };
  }
  if (Array.isArray(schema.type)) {
    const rest = (schema.type as readonly Json[]).filter((one) => one !== 'null');
    return rest.length === 1 ? { ...schema, type: rest[0] ?? null } : schema;
  }
  return schema;
}

function lookUp(root: JsonObject, path: readonly string[]): Json | undefined {
  let at: Json | undefined = root;
  for (const key of path) {
    if (!isObject(at)) return undefined;
    at = at[key.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return at;
}

function without(schema: JsonObject, key: string): JsonObject {
  const { [key]: _, ...rest } = schema;
  return rest;
}

function same(a: Json, b: Json): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A pattern that this engine cannot read is for the worker to check. */
function matchesPattern(pattern: string, typed: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(typed);
  } catch {
    return true;
  }
}

function words(name: string): string {
  const spaced = name
    .replaceAll(/[_-]+/gu, ' ')
    .replaceAll(/([a-z])([A-Z])/gu, '$1 $2')
    .toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
