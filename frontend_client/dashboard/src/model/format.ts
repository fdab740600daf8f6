/** Numbers and times as people read them; the same words as the command line uses. */

/** A number and its unit stay on one line. */
const JOIN = '\u00a0';

const COUNT = new Intl.NumberFormat('en-US');

export function count(value: number): string {
  return COUNT.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A span with what matters at its size: `<1 ms`, `12 ms`, `1.24 s`, `75 s`, `5.2 min`, `3.1 h`. */
export function precise(seconds: number): string {
  const span = Math.max(seconds, 0);
  if (span < 0.0005) return `<1${JOIN}ms`;
  if (span < 1) return `${Math.round(span * 1000)}${JOIN}ms`;
  if (span < 10) return `${span.toFixed(2)}${JOIN}s`;
  if (span < 120) return `${Math.round(span)}${JOIN}s`;
  if (span < 7200) return `${(span / 60).toFixed(1)}${JOIN}min`;
  return `${(span / 3600).toFixed(1)}${JOIN}h`;
}

/** A span in one figure: `4 s`, `12 min`, `3 h`, `2 d`. */
export function coarse(seconds: number): string {
  const span = Math.max(seconds, 0);
  if (span < 90) return `${Math.round(span)}${JOIN}s`;
  if (span < 5400) return `${Math.round(span / 60)}${JOIN}min`;
  if (span < 129_600) return `${Math.round(span / 3600)}${JOIN}h`;
  return `${Math.round(span / 86_400)}${JOIN}d`;
}

/** How long ago, or in how long: `now`, `12 s ago`, `in 5 min`. */
export function ago(at: string, now: number): string {
  const seconds = (now - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 1) return 'now';
  return seconds > 0 ? `${coarse(seconds)} ago` : `in ${coarse(-seconds)}`;
}

export function secondsBetween(from: string, to: string | number): number {
  return ((typeof to === 'number' ? to : Date.parse(to)) - Date.parse(from)) / 1000;
}

/** A name of the database as words: `client_tool` is a client tool. */
export function words(name: string): string {
  return name.replaceAll('_', ' ');
}

export function clock(at: string | number | Date): string {
  return new Date(at).toLocaleTimeString('en-GB');
}

export function hourAndMinute(at: string | number | Date): string {
  return new Date(at).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
}

export function dateAndClock(at: string): string {
  const date = new Date(at);
  return `${date.toLocaleDateString('en-CA')} ${clock(date)}`;
}

export function shortId(id: string): string {
  return id.slice(0, 8);
}

export function bytes(size: number): string {
  if (size < 1024) return `${size}${JOIN}B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)}${JOIN}KiB`;
  return `${(size / 1024 / 1024).toFixed(1)}${JOIN}MiB`;
}

/** The first line of a text, cut to `length` characters. */
export function oneLine(text: string, length = 160): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
