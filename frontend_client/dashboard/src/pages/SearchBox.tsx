import { type ReactElement, type RefObject, useEffect, useState } from 'react';
import { parseSearch, QUALIFIERS } from '../model/qualifiers';
import { STATUSES } from '../model/task';

interface SearchBoxProps {
  readonly text: string;
  readonly inputRef: RefObject<HTMLInputElement | null>;
  readonly onSearch: (text: string) => void;
}

const VALUES: Readonly<Record<string, readonly string[]>> = {
  status: STATUSES,
  since: ['15m', '1h', '6h', '1d', '7d'],
  until: ['15m', '1h', '1d'],
};

/** One box for all questions; it proposes what may stand next. */
export function SearchBox({ text, inputRef, onSearch }: SearchBoxProps): ReactElement {
  const [typed, setTyped] = useState(text);
  const [isFocused, setFocused] = useState(false);
  useEffect(() => setTyped(text), [text]);
  const { problems } = parseSearch(typed);
  const proposals = isFocused ? propose(typed) : [];
  return (
    <search className="search">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onSearch(typed.trim());
          inputRef.current?.blur();
        }}
      >
        <label className="visually-hidden" htmlFor="search">
          Search tasks by {QUALIFIERS.join(', ')}
        </label>
        <svg className="search-glass" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
          <path
            d="M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.5 10.5l3 3"
            fill="none"
            stroke="currentColor"
            strokeWidth="1.5"
            strokeLinecap="round"
          />
        </svg>
        <input
          ref={inputRef}
          id="search"
          type="text"
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="none"
          placeholder="kind:chat status:failed tenant:acme since:1h"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          onFocus={() => setFocused(true)}
          onBlur={() => setFocused(false)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') {
              setTyped(text);
              event.currentTarget.blur();
            } else if (event.key === 'Tab' && !event.shiftKey && proposals[0] !== undefined && /\S$/u.test(typed)) {
              event.preventDefault();
              setTyped(complete(typed, proposals[0]));
            }
          }}
          aria-describedby="search-hint"
        />
        {typed ? (
          <button
            type="button"
            className="quiet small"
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => onSearch('')}
          >
            Clear
          </button>
        ) : (
          <kbd>/</kbd>
        )}
      </form>
      {isFocused && (
        <div className="proposals" id="search-hint">
          {problems.length > 0 && /\s$/u.test(typed) && <span className="is-failed">{problems[0]}</span>}
          {proposals.map((proposal) => (
            <button
              key={proposal}
              type="button"
              tabIndex={-1}
              onMouseDown={(event) => {
                event.preventDefault();
                setTyped(complete(typed, proposal));
              }}
            >
              {proposal}
            </button>
          ))}
        </div>
      )}
      {!isFocused && problems.length > 0 && (
        <p className="error" role="alert">
          {problems[0]}
        </p>
      )}
    </search>
  );
}

function propose(typed: string): readonly string[] {
  const last = typed.slice(typed.lastIndexOf(' ') + 1).toLowerCase();
  const [name = '', value] = last.split(':', 2);
  if (value === undefined) return QUALIFIERS.filter((one) => one.startsWith(name)).map((one) => `${one}:`);
  return (VALUES[name] ?? []).filter((one) => one.startsWith(value) && one !== value).map((one) => `${name}:${one}`);
}

function complete(typed: string, proposal: string): string {
  const before = typed.slice(0, typed.lastIndexOf(' ') + 1);
  return `${before}${proposal}${proposal.endsWith(':') ? '' : ' '}`;
}
