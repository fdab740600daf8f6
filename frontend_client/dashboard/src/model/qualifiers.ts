/**
 * The search box: `kind:chat status:failed,waiting tenant:acme since:1h until:14:30 code:rate_limited id:0a1b2c`.
 *
 * Each qualifier stands at most once; a value with spaces is quoted (`tenant:"Acme Inc"`). Times are spans back from
 * now (`30s`, `15m`, `1h`, `2d`), a time of today (`14:05`), or anything ISO 8601.
 */
import { STATUSES, type Status } from './task';

export interface Search {
  readonly statuses: readonly Status[];
  readonly kind?: string;
  readonly tenant?: string;
  readonly code?: string;
  /** First hexadecimal digits of the id, without dashes. */
  readonly id?: string;
  /** As typed: spans are resolved when the search runs. */
  readonly since?: string;
  readonly until?: string;
}

export interface Parsed {
  readonly search: Search;
  /** What could not be understood, one sentence each; the rest of the search still counts. */
  readonly problems: readonly string[];
}

export const QUALIFIERS = ['kind', 'status', 'tenant', 'code', 'since', 'until', 'id'] as const;
type Qualifier = (typeof QUALIFIERS)[number];

export const EVERYTHING: Search = { statuses: [] };

const WORD = /(?:([a-z]+):)?(?:"([^"]*)"|(\S+))/giu;
const SPAN = /^(\d+)\s*(s|m|h|d)$/u;
const CLOCK = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/u;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

export function parseSearch(text: string): Parsed {
  const problems: string[] = [];
  let search: Search = EVERYTHING;
  for (const [word, name, quoted, plain] of text.matchAll(WORD)) {
    const value = quoted ?? plain ?? '';
    const qualifier = name === undefined ? bareWord(value) : asQualifier(name);
    if (qualifier === null) {
      problems.push(`“${word}” is no qualifier; there are ${QUALIFIERS.join(', ')}.`);
      continue;
    }
    const read = readValue(qualifier, value);
    if (typeof read === 'string') problems.push(read);
    else search = { ...search, ...read };
  }
  return { search, problems };
}

/** The text that `parseSearch` reads as this search. */
export function writeSearch(search: Search): string {
  const words = QUALIFIERS.map((name) => {
    const value = name === 'status' ? search.statuses.join(',') : search[name];
    if (!value) return '';
    return /\s/u.test(value) ? `${name}:"${value}"` : `${name}:${value}`;
  });
  return words.filter(Boolean).join(' ');
}

/** The moment a `since` or `until` means, in milliseconds; null when it means none. */
export function momentOf(text: string, now: number): number | null {
  const span = SPAN.exec(text);
  if (span) return now - Number(span[1]) * SECONDS[span[2] as keyof typeof SECONDS] * 1000;
  const time = CLOCK.exec(text);
  if (time) return today(now, Number(time[1]), Number(time[2]), Number(time[3] ?? 0));
  const parsed = /^\d{4}-/u.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(parsed) ? null : parsed;
}

/** The range of ids that begin with these hexadecimal digits: both ends included. */
export function idRange(prefix: string): readonly [string, string] {
  return [dashed(prefix.padEnd(32, '0')), dashed(prefix.padEnd(32, 'f'))];
}

/** Whether a row belongs to the search's list. */
export function matches(
  row: { id: string; kind: string; status: Status; enterprise_id: string | null; updated_at: string },
  search: Search,
  now: number,
): boolean {
  if (search.statuses.length > 0 && !search.statuses.includes(row.status)) return false;
  if (search.kind !== undefined && row.kind !== search.kind) return false;
  if (search.tenant !== undefined && row.enterprise_id !== search.tenant) return false;
  if (search.id !== undefined && !row.id.replaceAll('-', '').startsWith(search.id)) return false;
  const changed = Date.parse(row.updated_at);
  if (search.since !== undefined && changed < (momentOf(search.since, now) ?? 0)) return false;
  return search.until === undefined || changed <= (momentOf(search.until, now) ?? now);
}

function asQualifier(name: string): Qualifier | null {
  const lower = name.toLowerCase();
  return (QUALIFIERS as readonly string[]).includes(lower) ? (lower as Qualifier) : null;
}

/** A pasted id, or the name of a state, needs no qualifier. */
function bareWord(value: string): Qualifier | null {
  if (/^[0-9a-f]{6}[0-9a-f-]*$/iu.test(value)) return 'id';
  return isStatus(value.toLowerCase()) ? 'status' : null;
}

function readValue(qualifier: Qualifier, value: string): Partial<Search> | string {
  if (value === '') return `${qualifier}: needs a value.`;
  switch (qualifier) {
    case 'status': {
      const wanted = value.toLowerCase().split(',').filter(Boolean);
      const wrong = wanted.find((name) => !isStatus(name));
      if (wrong !== undefined) return `“${wrong}” is no status; there are ${STATUSES.join(', ')}.`;
      return { statuses: STATUSES.filter((status) => wanted.includes(status)) };
    }
    case 'id': {
      const digits = value.toLowerCase().replaceAll('-', '');
      return /^[0-9a-f]{1,32}$/u.test(digits) ? { id: digits } : 'An id is made of the digits 0-9 and a-f.';
    }
    case 'since':
    case 'until':
      if (momentOf(value, Date.now()) !== null) return { [qualifier]: value };
      return `“${value}” is no time; write 30s, 15m, 1h, 2d, 14:05 or 2026-01-31T14:05.`;
    default:
      return { [qualifier]: value };
  }
}

function isStatus(name: string): name is Status {
  return (STATUSES as readonly string[]).includes(name);
}

function today(now: number, hours: number, minutes: number, seconds: number): number | null {
  if (hours > 23 || minutes > 59 || seconds > 59) return null;
  return new Date(now).setHours(hours, minutes, seconds, 0);
}

function dashed(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, '$1-$2-$3-$4-$5');
}
