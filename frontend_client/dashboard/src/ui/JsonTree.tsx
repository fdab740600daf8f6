import { type ReactElement, useState } from 'react';
import { bytes, count, plural } from '../model/format';
import { isObject, type Json } from '../model/task';
import { CopyButton } from './CopyButton';

/** More of a list, or of a text, is shown when it is asked for. */
const MOST_CHILDREN = 100;
const MOST_CHARACTERS = 600;

/** JSON to look into: folded beyond the second level, whole for the clipboard. */
export function JsonTree({ value, title }: { value: Json; title: string }): ReactElement {
  const whole = JSON.stringify(value, null, 2);
  return (
    <section className="card" aria-label={title}>
      <header className="card-head">
        <h2>{title}</h2>
        <span className="muted small">{bytes(new Blob([whole]).size)}</span>
        <CopyButton text={whole} />
      </header>
      <div className="json">
        <Node value={value} depth={0} />
      </div>
    </section>
  );
}

/** The tree without its frame. */
export function JsonValue({ value }: { value: Json }): ReactElement {
  return (
    <div className="json">
      <Node value={value} depth={0} />
    </div>
  );
}

function Node({ value, name, depth }: { value: Json; name?: string; depth: number }): ReactElement {
  const [isOpen, setOpen] = useState(depth < 2);
  const entries = childrenOf(value);
  if (entries === null || entries.length === 0) {
    return (
      <div className="json-leaf">
        <Name name={name} />
        <Leaf value={value} />
      </div>
    );
  }
  if (name === undefined) return <Children entries={entries} depth={depth} />;
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Name name={name} />
        <span className="muted">
          {Array.isArray(value) ? plural(entries.length, 'item') : isOpen ? '' : previewOf(entries)}
        </span>
      </summary>
      {isOpen && <Children entries={entries} depth={depth + 1} />}
    </details>
  );
}

function Children({ entries, depth }: { entries: readonly [string, Json][]; depth: number }): ReactElement {
  const [most, setMost] = useState(MOST_CHILDREN);
  return (
    <div className={depth > 0 ? 'json-children' : ''}>
      {entries.slice(0, most).map(([name, child]) => (
        <Node key={name} name={name} value={child} depth={depth} />
      ))}
      {entries.length > most && (
        <button type="button" className="quiet small" onClick={() => setMost(most * 10)}>
          {count(entries.length - most)} more
        </button>
      )}
    </div>
  );
}

function Name({ name }: { name?: string | undefined }): ReactElement | null {
  return name === undefined ? null : <span className="json-name">{name}</span>;
}

function Leaf({ value }: { value: Json }): ReactElement {
  const [isWhole, setWhole] = useState(false);
  if (typeof value !== 'string') {
    const shown = Array.isArray(value) ? '[]' : isObject(value) ? '{}' : String(value);
    return <span className={`json-${value === null ? 'null' : typeof value}`}>{shown}</span>;
  }
  const isCut = !isWhole && value.length > MOST_CHARACTERS;
  return (
    <span className="json-string">
      {isCut ? `${value.slice(0, MOST_CHARACTERS)}…` : value}
      {isCut && (
        <button type="button" className="quiet small" onClick={() => setWhole(true)}>
          {count(value.length - MOST_CHARACTERS)} more characters
        </button>
      )}
    </span>
  );
}

function childrenOf(value: Json): readonly [string, Json][] | null {
  if (Array.isArray(value)) return value.map((child: Json, index) => [String(index), child]);
  return isObject(value) ? Object.entries(value) : null;
}

function previewOf(entries: readonly [string, Json][]): string {
  const names = entries.slice(0, 4).map(([name]) => name);
  return `{ ${names.join(', ')}${entries.length > 4 ? ', …' : ''} }`;
}
