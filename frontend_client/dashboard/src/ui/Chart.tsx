import { type KeyboardEvent, type PointerEvent, type ReactElement, useRef, useState } from 'react';
import { ceiling, layout, type Minute, minuteAt, type Outcome, rangeOf, totals } from '../model/activity';
import { count, hourAndMinute } from '../model/format';
import { useWidth } from './hooks';
import { StateMark } from './State';

const HEIGHT = 72;
/** From what should be to what should not. */
const LEGEND: readonly Outcome[] = ['completed', 'failed', 'cancelled'];

interface ChartProps {
  /** Undefined: not read yet. */
  readonly minutes: readonly Minute[] | undefined;
  /** The time that is filtered by now, in milliseconds. */
  readonly range: readonly [number, number] | null;
  readonly onRange: (range: readonly [number, number] | null) => void;
  /** Facts beside the legend. */
  readonly note: string;
}

/**
 * What ended, by the minute. A click filters the list by a minute, a drag by several; with the keyboard the arrows
 * move, with shift they stretch, Enter filters, Escape shows all again.
 */
export function Chart({ minutes, range, onRange, note }: ChartProps): ReactElement {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [hovered, setHovered] = useState<number | null>(null);
  const [drag, setDrag] = useState<readonly [number, number] | null>(null);
  const known = minutes ?? [];
  const place = (event: PointerEvent) => {
    const left = box.current?.getBoundingClientRect().left ?? 0;
    return minuteAt(event.clientX - left, width, known.length);
  };
  const apply = (picked: readonly [number, number] | null) => {
    setDrag(null);
    onRange(picked && rangeOf(known, picked[0], picked[1]));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined) {
      const [from, to] = drag ?? [known.length - 1, known.length - (step > 0 ? 2 : 1)];
      const next = Math.min(known.length - 1, Math.max(0, to + (drag ? step : 0)));
      setDrag([event.shiftKey ? from : next, next]);
    } else if (event.key === 'Enter' && drag) apply(drag);
    else if (event.key === 'Escape') apply(null);
    else return;
    event.preventDefault();
  };
  const selected = drag && rangeOf(known, drag[0], drag[1]);
  const spoken = selected ?? (hovered === null ? range : rangeOf(known, hovered, hovered));
  return (
    <div className="chart">
      <Legend minutes={minutes} part={spoken} note={note} />
      <div
        ref={box}
        className="chart-box"
        role="slider"
        tabIndex={0}
        aria-label="Tasks that ended in the last hour, by minute. Arrows choose a minute, shift and arrows several, Enter filters the list."
        aria-valuemin={0}
        aria-valuemax={Math.max(known.length - 1, 0)}
        aria-valuenow={drag?.[1] ?? known.length - 1}
        aria-valuetext={spoken ? describe(known, spoken) : describe(known, null)}
        onKeyDown={onKeyDown}
        onBlur={() => setDrag(null)}
        onPointerDown={(event) => {
          if (known.length === 0 || event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag([place(event), place(event)]);
        }}
        onPointerMove={(event) => {
          setHovered(known.length > 0 ? place(event) : null);
          if (drag && event.buttons > 0) setDrag([drag[0], place(event)]);
        }}
        onPointerUp={() => drag && apply(drag)}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setHovered(null)}
      >
        <svg width={width} height={HEIGHT} aria-hidden="true">
          <Shade minutes={known} range={selected ?? range} width={width} isDraft={selected !== null} />
          {hovered !== null && <Hover at={hovered} minutes={known.length} width={width} />}
          {width > 0 &&
            known.length > 0 &&
            layout(known, width, HEIGHT - 1).map((bar) => (
              <rect
                key={`${bar.outcome}-${bar.x}`}
                className={`bar-${bar.outcome}`}
                x={bar.x}
                y={bar.y}
                width={bar.width}
                height={bar.height}
              />
            ))}
          <line className="chart-base" x1="0" x2={width} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
        </svg>
        {known.some((minute) => LEGEND.some((outcome) => minute[outcome] > 0)) && (
          <span className="chart-top">{count(ceiling(known))}</span>
        )}
      </div>
      <Axis minutes={known} />
    </div>
  );
}

function Legend(props: {
  minutes: readonly Minute[] | undefined;
  part: readonly [number, number] | null;
  note: string;
}): ReactElement {
  const { minutes = [], part, note } = props;
  const sum = totals(part ? minutes.filter((minute) => minute.at >= part[0] && minute.at < part[1]) : minutes);
  return (
    <p className="legend">
      {LEGEND.map((outcome) => (
        // What did not happen needs no colour.
        <span key={outcome} className={sum[outcome] > 0 ? `is-${outcome}` : 'muted'}>
          <StateMark status={outcome} /> <b>{props.minutes === undefined ? '–' : count(sum[outcome])}</b> {outcome}
        </span>
      ))}
      <span className="muted">
        {part ? `${hourAndMinute(part[0])} to ${hourAndMinute(part[1])}` : 'in the last hour'}
      </span>
      {note && !part && <span className="muted legend-note">{note}</span>}
    </p>
  );
}

function Shade(props: {
  minutes: readonly Minute[];
  range: readonly [number, number] | null;
  width: number;
  isDraft: boolean;
}): ReactElement | null {
  const { minutes, range, width, isDraft } = props;
  const start = minutes[0]?.at;
  if (range === null || start === undefined) return null;
  const perMs = width / (minutes.length * 60_000);
  const from = Math.max(0, (range[0] - start) * perMs);
  const to = Math.min(width, (range[1] - start) * perMs);
  if (to <= from) return null;
  return <rect className={isDraft ? 'chart-draft' : 'chart-range'} x={from} y={0} width={to - from} height={HEIGHT} />;
}

function Hover({ at, minutes, width }: { at: number; minutes: number; width: number }): ReactElement {
  const slot = width / minutes;
  return <rect className="chart-hover" x={at * slot} y={0} width={slot} height={HEIGHT} />;
}

function Axis({ minutes }: { minutes: readonly Minute[] }): ReactElement {
  const ticks = [0, 15, 30, 45].map((place) => minutes[place]).filter((minute) => minute !== undefined);
  return (
    <p className="axis" aria-hidden="true">
      {ticks.map((minute) => (
        <span key={minute.at}>{hourAndMinute(minute.at)}</span>
      ))}
      <span>now</span>
    </p>
  );
}

function describe(minutes: readonly Minute[], part: readonly [number, number] | null): string {
  const sum = totals(part ? minutes.filter((minute) => minute.at >= part[0] && minute.at < part[1]) : minutes);
  const when = part ? `${hourAndMinute(part[0])} to ${hourAndMinute(part[1])}` : 'the last hour';
  return `${when}: ${sum.completed} completed, ${sum.failed} failed, ${sum.cancelled} cancelled`;
}
