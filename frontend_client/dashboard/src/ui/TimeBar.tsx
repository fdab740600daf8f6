import type { ReactElement } from 'react';
import { type Segment, type SegmentKind, spent } from '../model/attempts';
import { precise } from '../model/format';

const WORDS: Readonly<Record<SegmentKind, string>> = {
  waited: 'waited',
  ran: 'ran',
  asked: 'waited for an answer',
  ended: 'rested',
};

/** A stretch is never thinner than this share of the bar: 5 ms beside a minute must be seen. */
const LEAST = 0.012;

/** A task's life as one bar: waited, ran, waited again. */
export function TimeBar({ segments }: { segments: readonly Segment[] }): ReactElement {
  const sum = spent(segments);
  const total = segments.reduce((all, segment) => all + (segment.to - segment.from), 0);
  const summary = (['waited', 'ran', 'asked', 'ended'] as const).filter((kind) => sum[kind] > 0);
  const hasOnlyFailed = segments.every((segment) => segment.kind !== 'ran' || segment.ending === 'failed');
  return (
    <figure className="time">
      <div className="time-bar" aria-hidden="true">
        {segments.map((segment) => (
          <span
            key={`${segment.kind}-${segment.from}`}
            className={`time-${segment.kind} ${segment.ending === 'failed' ? 'time-failed' : ''} ${segment.ending === 'running' ? 'time-running' : ''}`}
            style={{ flexGrow: Math.max((segment.to - segment.from) / total, LEAST) }}
            title={`${WORDS[segment.kind]} ${precise((segment.to - segment.from) / 1000)}${segment.attempt === null ? '' : ` · attempt ${segment.attempt}`}`}
          />
        ))}
      </div>
      <figcaption className="legend">
        {summary.map((kind) => (
          <span key={kind}>
            <span
              className={`swatch time-${kind} ${kind === 'ran' && hasOnlyFailed ? 'time-failed' : ''}`}
              aria-hidden="true"
            />
            {WORDS[kind]} <b>{precise(sum[kind])}</b>
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
