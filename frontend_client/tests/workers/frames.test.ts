import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Frame, FrameParser, FrameReader } from '../../src/workers/frames.js';

async function framesOf(chunks: readonly Uint8Array[]): Promise<Frame[]> {
  const left = [...chunks];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = left.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
  });
  const reader = new FrameReader(body);
  const frames: Frame[] = [];
  for (let frame = await reader.next(); frame !== null; frame = await reader.next()) frames.push(frame);
  return frames;
}

const parse = (text: string) => new FrameParser().push(text);

describe('frames', () => {
  it('are the same whatever the borders of the chunks and the ends of the lines', async () => {
    const line = fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n]/.test(text));
    const given = fc.record({
      frames: fc.array(fc.record({ id: fc.nat(), lines: fc.array(line, { minLength: 1, maxLength: 3 }) })),
      end: fc.constantFrom('\n', '\r\n', '\r'),
      cuts: fc.array(fc.nat(400)),
    });
    await fc.assert(
      fc.asyncProperty(given, async ({ frames, end, cuts }) => {
        const text = frames
          .map(({ id, lines }) => [': note', `id: ${id}`, ...lines.map((each) => `data: ${each}`), '', ''].join(end))
          .join('');
        const bytes = new TextEncoder().encode(text);
        const borders = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = borders.slice(1).map((border, index) => bytes.slice(borders[index], border));
        const expected = frames.map(({ id, lines }) => ({ id: `${id}`, data: lines.join('\n') }));
        expect(await framesOf(chunks)).toEqual(expected);
      }),
    );
  });

  it('need no space after the colon, and keep any further one', () => {
    expect(parse('data:a\n\ndata:  b\n\n')).toEqual([
      { id: null, data: 'a' },
      { id: null, data: ' b' },
    ]);
  });

  it('bear their own ids, and pass over comments and fields that mean nothing here', () => {
    expect(parse('id: 7\nevent: x\nretry: 1\n: hello\nwhatever\ndata: a\n\n\n: heartbeat\n\ndata: b\n\n')).toEqual([
      { id: '7', data: 'a' },
      { id: null, data: 'b' },
    ]);
  });

  it('that were cut off are not given', () => {
    expect(parse('data: a\n\ndata: b\n')).toEqual([{ id: null, data: 'a' }]);
  });

  it('may be preceded by a byte order mark', async () => {
    expect(await framesOf([new TextEncoder().encode('\uFEFFdata: a\n\n')])).toEqual([{ id: null, data: 'a' }]);
  });

  it('of 16 MiB cost no more than their length', () => {
    const parser = new FrameParser();
    const chunk = 'x'.repeat(4096);
    const begun = performance.now();
    parser.push('data: ');
    for (let index = 0; index < 4096; index += 1) parser.push(chunk);
    expect(parser.push('\n\n')[0]?.data.length).toBe(4096 * 4096);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });
});
