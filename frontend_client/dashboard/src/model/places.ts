/**
 * Names of executions: `steps.Each text.steps.Translate@3` is the fourth round of a step inside `steps.Each text`; what
 * a worker does that a step runs begins with the step's place and a slash.
 */
const FIRST = 'steps.';
const ROUNDS = /@(\d+(?:\.\d+)*)$/u;

export interface Position {
  /** Positions in the loops between the step and the one it is inside of, from 0. */
  readonly rounds: readonly number[];
  /** The branch of a `parallel`. */
  readonly branch: string;
}

/** Each place that one may be inside of, from the inside; some of them may never have been. */
export function* around(place: string): Generator<string> {
  const { outer, path, rounds } = takenApart(place);
  for (let length = path.length - 1; length > 0; length -= 1) {
    for (let depth = rounds.length; depth >= 0; depth -= 1) {
      const above = path.slice(0, length).join('.') + (depth > 0 ? `@${rounds.slice(0, depth).join('.')}` : '');
      yield outer === '' ? above : `${outer}/${above}`;
    }
  }
  if (outer === '') return;
  yield outer;
  yield* around(outer);
}

/** Where a step is within the one that it is shown inside of; `inside` is '' where there is none. */
export function positionOf(place: string, inside: string): Position {
  const own = takenApart(place);
  const above = takenApart(inside);
  const isSame = inside !== '' && above.outer === own.outer;
  const between = own.path.slice(isSame ? above.path.length : 1, -1);
  return {
    rounds: own.rounds.slice(isSame ? above.rounds.length : 0),
    branch: between[0] === 'branches' ? named(between[1] ?? '') : '',
  };
}

function takenApart(place: string) {
  const at = place.lastIndexOf(`/${FIRST}`);
  const own = place.slice(at + 1);
  const match = ROUNDS.exec(own);
  return {
    outer: place.slice(0, Math.max(at, 0)),
    path: (match === null ? own : own.slice(0, match.index)).split('.'),
    rounds: match?.[1]?.split('.').map(Number) ?? [],
  };
}

/** A name as it was written; one that was cut short may end amid an escape. */
function named(part: string): string {
  return part.replaceAll(/%(?:2E|2F|25)/gu, (code) => decodeURIComponent(code));
}
