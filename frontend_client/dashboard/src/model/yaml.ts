/**
 * Read the YAML that people write in definitions: mappings and lists by indentation or in brackets, texts plain, quoted
 * or in blocks, comments. The document has been validated before by a whole parser; what is not read here (anchors,
 * tags, keys that are no texts) raises `NotRead`, and the document is shown as it is.
 */
import type { Json } from './task';

export class NotRead extends Error {}

interface Line {
  readonly indent: number;
  readonly text: string;
  readonly raw: string;
}

const KEY = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^\s"'[\]{}#&*!|>%@`,?:-]|[?:-](?=\S))[^#]*?):(?:\s+(.*))?$/u;
const NUMBER = /^[-+]?(?:0|[1-9]\d*|\d+)(?:\.\d*)?(?:[eE][-+]?\d+)?$|^[-+]?\.\d+$/u;
const BLOCK = /^([|>])([-+]?)\s*(?:#.*)?$/u;

export function readYaml(text: string): Json {
  const reader = new Reader(text.split(/\r?\n/u));
  const value = reader.value(-1);
  reader.end();
  return value;
}

class Reader {
  readonly #lines: readonly Line[];
  #at = 0;

  constructor(lines: readonly string[]) {
    this.#lines = lines.map((raw) => {
      const bare = raw.trimEnd();
      const text = uncommented(bare.trimStart());
      return { raw, text: text === '---' ? '' : text, indent: bare.length - bare.trimStart().length };
    });
  }

  /** The value that stands deeper than `outer`. */
  value(outer: number): Json {
    const line = this.#peek();
    if (line === undefined || line.indent <= outer) return null;
    if (line.text.startsWith('- ') || line.text === '-') return this.#list(line.indent);
    if (KEY.test(line.text)) return this.#mapping(line.indent);
    this.#at += 1;
    return this.#inline(line.text, outer);
  }

  end(): void {
    if (this.#peek() !== undefined) throw new NotRead();
  }

  #mapping(indent: number, first?: string): Json {
    const found: Record<string, Json> = {};
    let text = first ?? this.#next(indent);
    while (text !== undefined) {
      const match = KEY.exec(text);
      if (match === null) throw new NotRead();
      const rest = match[2] ?? '';
      const name = scalar(match[1] ?? '', true);
      found[String(name)] = rest === '' ? this.#under(indent) : this.#inline(rest, indent);
      text = this.#next(indent);
    }
    return found;
  }

  /** What stands under a key: deeper, or a list at its own depth. */
  #under(indent: number): Json {
    const line = this.#peek();
    const isList = line?.indent === indent && (line.text.startsWith('- ') || line.text === '-');
    return isList ? this.#list(indent) : this.value(indent);
  }

  #list(indent: number): Json {
    const found: Json[] = [];
    for (;;) {
      const line = this.#peek();
      if (line?.indent !== indent || !(line.text.startsWith('- ') || line.text === '-')) return found;
      this.#at += 1;
      const rest = line.text.slice(1).trimStart();
      const inner = indent + line.text.length - rest.length;
      if (rest === '') found.push(this.value(indent));
      else if (rest.startsWith('- ')) throw new NotRead();
      else found.push(KEY.test(rest) ? this.#mapping(inner, rest) : this.#inline(rest, indent));
    }
  }

  /** A value that begins on the line of its key; it may go on below, deeper than `outer`. */
  #inline(text: string, outer: number): Json {
    const block = BLOCK.exec(text);
    if (block !== null) return this.#block(outer, block[1] === '>', block[2] ?? '');
    let whole = text;
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[this.#at]) {
      if ((line.text === '' || line.indent <= outer) && !isOpen(whole)) break;
      if (!isOpen(whole) && KEY.test(line.text)) throw new NotRead();
      this.#at += 1;
      whole += ` ${line.text}`;
    }
    return /^[[{]/u.test(whole) ? new Flow(whole).whole() : scalar(whole, false);
  }

  #block(outer: number, isFolded: boolean, chomp: string): Json {
    const taken: string[] = [];
    let depth = 0;
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[this.#at]) {
      const isBlank = line.raw.trim() === '';
      if (!isBlank && line.indent <= outer) break;
      if (!isBlank && depth === 0) depth = line.indent;
      taken.push(isBlank ? '' : line.raw.slice(depth));
      this.#at += 1;
    }
    const text = taken.join('\n').replace(/\n+$/u, '');
    return (isFolded ? text.replace(/([^\n])\n(?=[^\s])/gu, '$1 ') : text) + (chomp === '-' ? '' : '\n');
  }

  #peek(): Line | undefined {
    while (this.#lines[this.#at]?.text === '') this.#at += 1;
    return this.#lines[this.#at];
  }

  #next(indent: number): string | undefined {
    const line = this.#peek();
    if (line === undefined || line.indent < indent) return undefined;
    if (line.indent > indent) throw new NotRead();
    if (!KEY.test(line.text)) return undefined;
    this.#at += 1;
    return line.text;
  }
}

/** Lists and mappings in brackets. */
class Flow {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Json {
    const value = this.#value();
    if (this.#skip() !== '') throw new NotRead();
    return value;
  }

  #value(): Json {
    const begins = this.#skip();
    if (begins !== '[' && begins !== '{') return scalar(this.#word(), false);
    this.#at += 1;
    const items: Json[] = [];
    const fields: Record<string, Json> = {};
    const closes = begins === '[' ? ']' : '}';
    while (this.#skip() !== closes) {
      if (this.#skip() === '') throw new NotRead();
      const value = this.#value();
      const isPair = this.#skip() === ':';
      if (isPair) this.#at += 1;
      if (begins === '{') fields[String(value)] = isPair ? this.#value() : null;
      else items.push(isPair ? { [String(value)]: this.#value() } : value);
      if (this.#skip() === ',') this.#at += 1;
    }
    this.#at += 1;
    return begins === '[' ? items : fields;
  }

  #word(): string {
    this.#skip();
    const match = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^,[\]{}:]|:(?=\S))+)/u.exec(this.#text.slice(this.#at));
    if (match === null) throw new NotRead();
    this.#at += match[0].length;
    return match[0].trim();
  }

  #skip(): string {
    while (this.#text[this.#at] === ' ') this.#at += 1;
    return this.#text[this.#at] ?? '';
  }
}

function scalar(text: string, isKey: boolean): Json {
  if (text.startsWith('"')) {
    try {
      return JSON.parse(text) as Json;
    } catch {
      throw new NotRead();
    }
  }
  if (text.startsWith("'")) return text.slice(1, -1).replaceAll("''", "'");
  if (/^(?:[&*!|>%@`]|[?-]\s)/u.test(text)) throw new NotRead();
  if (isKey) return text;
  if (/^(?:|~|null|Null|NULL)$/u.test(text)) return null;
  if (/^(?:true|True|TRUE)$/u.test(text)) return true;
  if (/^(?:false|False|FALSE)$/u.test(text)) return false;
  return NUMBER.test(text) ? Number(text) : text;
}

function uncommented(text: string): string {
  if (text.startsWith('#')) return '';
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (quote !== '') {
      if (char === '\\' && quote === '"') at += 1;
      else if (char === quote) quote = '';
    } else if ((char === '"' || char === "'") && /^$|[\s[{,:-]$/u.test(text.slice(0, at))) quote = char;
    else if (char === '#' && /\s$/u.test(text.slice(0, at))) return text.slice(0, at).trimEnd();
  }
  return text;
}

function isOpen(text: string): boolean {
  const bare = text.replace(/"(?:[^"\\]|\\.)*"|'[^']*'/gu, '');
  return (bare.match(/[[{]/gu)?.length ?? 0) > (bare.match(/[\]}]/gu)?.length ?? 0);
}
