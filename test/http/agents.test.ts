import { randomBytes, randomInt } from 'node:crypto';

import test from 'ava';
import fc from 'fast-check';

import { createReadBuffers } from '../../src/http/agents.ts';
import type { Sink } from '../../src/http/contract.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';

const signal = AbortSignal.timeout(600_000);
const copiedBytes = 1024;

/** What a socket does: fills the buffer that it is given, and says how far. */
function fill(onread: ReturnType<ReturnType<typeof createReadBuffers>['readInto']>, bytes: Uint8Array): void {
  const buffer = typeof onread.buffer === 'function' ? onread.buffer() : onread.buffer;
  buffer.set(bytes);
  onread.callback(bytes.byteLength, buffer);
}

function reading() {
  const buffers = createReadBuffers(copiedBytes);
  const chunks: Buffer[] = [];
  const onread = buffers.readInto((chunk) => chunks.push(chunk) > 0);
  const read = (bytes: Uint8Array) => {
    fill(onread, bytes);
    return chunks.at(-1) as Buffer;
  };
  return { read, recycle: buffers.recycle };
}

test('a chunk that is still in use does not change when more is read', (t) => {
  const sizes = fc.array(fc.record({ size: fc.integer({ min: 1, max: 4 * copiedBytes }), keep: fc.nat(5) }));
  fc.assert(
    fc.property(sizes, (reads) => {
      const { read, recycle } = reading();
      const held: { readonly chunk: Buffer; readonly bytes: Buffer }[] = [];
      for (const { size, keep } of reads) {
        const bytes = randomBytes(size);
        held.push({ chunk: read(bytes), bytes });
        while (held.length > keep) recycle(held.shift()?.chunk as Buffer);
        if (held.some(({ chunk, bytes: then }) => !chunk.equals(then))) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('recycled memory is used again', (t) => {
  const { read, recycle } = reading();
  const first = read(randomBytes(5000));
  recycle(first);
  read(randomBytes(5000)); // went where the socket was to read next already
  t.is(read(randomBytes(5000)).buffer, first.buffer);
});

test('memory whose last bytes are still unread is not used again', (t) => {
  const { read, recycle } = reading();
  const first = read(randomBytes(5000));
  recycle(first.subarray(0, 4000));
  t.true([1, 2, 3, 4].every(() => read(randomBytes(5000)).buffer !== first.buffer));
});

test('memory that is recycled twice is used again once', (t) => {
  const { read, recycle } = reading();
  const first = read(randomBytes(5000));
  recycle(first);
  recycle(first);
  const buffers = [1, 2, 3, 4].map(() => read(randomBytes(5000)).buffer);
  t.is(new Set(buffers).size, 4);
});

test('recycling other memory has no effect', (t) => {
  const { recycle } = reading();
  t.notThrows(() => recycle(randomBytes(5000)));
});

/** A sink that takes its time, so that the sockets are paused again and again. */
function slowSink() {
  const sink = memorySink();
  const append: Sink['append'] = async (chunks) => {
    await new Promise((resolve) => setTimeout(resolve, randomInt(8)));
    await sink.append(chunks);
  };
  return { content: () => sink.content(), sink: Object.create(sink, { append: { value: append } }) as Sink };
}

for (const framing of ['with a length', 'in chunks'] as const) {
  test(`bodies ${framing} of many connections at once arrive as they were sent, however slow the sink`, async (t) => {
    const body = randomBytes(6_000_000);
    const server = await startRawServer(t, (socket) => {
      if (framing === 'with a length')
        socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]));
      else
        socket.end(
          Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), ...inChunks(body)]),
        );
    });
    const http = openTestHttp(t);
    const sinks = Array.from({ length: 6 }, slowSink);
    await Promise.all(sinks.map(({ sink }, index) => http.download({ url: `${server.url}/${index}`, sink }, signal)));
    t.true(sinks.every(({ content }) => content().equals(body)));
  });
}

function* inChunks(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length;) {
    const size = Math.min(randomInt(1, 400_000), body.length - at);
    yield Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), body.subarray(at, at + size), Buffer.from('\r\n')]);
    at += size;
  }
  yield Buffer.from('0\r\n\r\n');
}
