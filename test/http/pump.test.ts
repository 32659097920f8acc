import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../src/errors.ts';
import { createProgress, leastProgress, pump } from '../../src/http/pump.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';

const signal = AbortSignal.timeout(600_000);
const pumping = { limiter: undefined, check: () => undefined, onAppend: () => undefined, recycle: undefined };
const chunk = new Uint8Array(64 * 1024);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function* chunks(count: number, betweenMs?: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < count; n += 1) {
    if (betweenMs !== undefined) await pause(betweenMs);
    yield chunk;
  }
}

test('a fast body is appended in few large batches', async (t) => {
  const sink = memorySink();
  await pump(chunks(64), sink, pumping, signal);
  t.is(sink.bytes, 64 * chunk.byteLength);
  t.true(sink.appends.length <= 16, `${sink.appends.length} appends`);
});

test('a slow body is appended as it arrives', async (t) => {
  const sink = memorySink();
  await pump(chunks(4, 60), sink, pumping, signal);
  t.true(sink.appends.length >= 3);
});

test('a slow sink pauses the body at about a mebibyte, and appends do not overlap', async (t) => {
  let taken = 0;
  let most = 0;
  let running = 0;
  const sink = memorySink();
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const next of chunks(100)) {
      taken += next.byteLength;
      most = Math.max(most, taken - sink.bytes);
      yield next;
    }
  }
  const append = async (batch: readonly Uint8Array[]) => {
    running += 1;
    t.is(running, 1);
    await pause(5);
    await sink.append(batch);
    running -= 1;
  };
  await pump(counted(), Object.create(sink, { append: { value: append } }) as typeof sink, pumping, signal);
  t.is(sink.bytes, 100 * chunk.byteLength);
  t.true(most <= 1.75 * 1024 * 1024, `${most} bytes in memory`);
});

test('the bytes before a failure are appended, then the failure is reported', async (t) => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* chunks(3);
    await pause(0);
    throw new Error('cut');
  }
  const sink = memorySink();
  await t.throwsAsync(pump(failing(), sink, pumping, signal), { message: 'cut' });
  t.is(sink.bytes, 3 * chunk.byteLength);
});

test('a failure of the sink is reported rather than one of the body, and nothing is appended after it', async (t) => {
  let appends = 0;
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* chunks(8);
    throw new Error('cut');
  }
  const append = () => {
    appends += 1;
    return Promise.reject(new Error('disk full'));
  };
  await t.throwsAsync(pump(failing(), { ...memorySink(), append }, pumping, signal), { message: 'disk full' });
  t.is(appends, 1);
});

const KiB = 1024;
const MiB = 1024 * KiB;

test('progress is 64 KiB, or 1 % of what is missing if that is more, or all of it if that is less', (t) => {
  t.is(leastProgress(0, MiB), 64 * KiB);
  t.is(leastProgress(0, 100 * MiB), MiB);
  t.is(leastProgress(50 * MiB, 100 * MiB), MiB / 2);
  t.is(leastProgress(0, 1000), 1000);
  t.is(leastProgress(999, 1000), 1);
  t.is(leastProgress(1000, 1000), 1);
  t.is(leastProgress(0, undefined), 64 * KiB);
  t.is(leastProgress(100 * MiB, undefined), MiB, 'as much as has come is taken to be missing');
});

test('the bytes of failed tries add up; those of a stalled one count only if they are 1 % of the rest', (t) => {
  const total = 10 * MiB;
  const cut = createProgress(0);
  const tried = [1, 2, 3].map((count) => {
    cut.begin((count - 1) * 50 * KiB);
    return cut.isEnough({ bytes: count * 50 * KiB, total, hasStalled: false });
  });
  t.deepEqual(tried, [false, false, true]);

  const stalled = createProgress(0);
  let bytes = 0;
  for (const [more, isEnough] of [
    [90 * KiB, false], // less than 1 %: it is as if it had not come
    [90 * KiB, false],
    [110 * KiB, true],
    [1, false],
  ] as const) {
    stalled.begin(bytes);
    bytes += more;
    t.is(stalled.isEnough({ bytes, total, hasStalled: true }), isEnough, `${bytes}`);
  }
});

test('however slowly a server sends, the number of tries is limited, since each new count needs its share of the rest', (t) => {
  const shares = fc.array(
    fc.record({ share: fc.double({ min: 0, max: 0.05, noNaN: true }), hasStalled: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 34 }), shares, (total, tries) => {
      const progress = createProgress(0);
      let [bytes, counted] = [0, 0];
      for (const { share, hasStalled } of tries) {
        progress.begin(bytes);
        bytes += Math.floor((total - bytes) * share);
        if (!progress.isEnough({ bytes, total, hasStalled })) continue;
        t.true(bytes - counted >= leastProgress(counted, total));
        counted = bytes;
      }
    }),
  );
});

for (const [what, end, code] of [
  ['cut', true, 'LENGTH_MISMATCH'],
  ['silence', false, 'STALLED'],
] as const) {
  test(`a server that gives one byte and then ${what}, again and again, gets no new tries for it`, async (t) => {
    const server = await startRawServer(t, (socket, head) => {
      const start = Number(/range: bytes=(\d+)-/.exec(head)?.[1] ?? 0);
      const range = start > 0 ? `content-range: bytes ${start}-99999/100000\r\n` : '';
      socket.write(
        `HTTP/1.1 ${start > 0 ? 206 : 200} OK\r\netag: "1"\r\ncontent-length: ${100_000 - start}\r\n${range}\r\nx`,
      );
      if (end) socket.end();
    });
    const http = openTestHttp(t, { retries: 2, timeouts: { connectMs: 60_000, headersMs: 60_000, stallMs: 200 } });
    const sink = memorySink();
    const error = await t.throwsAsync(http.download({ url: server.url, sink }, signal));
    t.true(hasCode(error, code), `${error}`);
    t.is(server.requests.length, 3);
    t.is(sink.bytes, 3, 'and keeps what came');
  });
}
