import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../src/errors.ts';
import { createProgress, leastProgress } from '../../src/http/progress.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';

const signal = AbortSignal.timeout(30_000);
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

test('tries that break off count together; a stalled one only if it brought 1 % of the rest', (t) => {
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

test('whatever a server drips, there is an end: each new count took its share of the rest', (t) => {
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
    const http = openTestHttp(t, { retries: 2, timeouts: { connectMs: 5000, headersMs: 5000, stallMs: 200 } });
    const sink = memorySink();
    const error = await t.throwsAsync(http.download({ url: server.url, sink }, signal));
    t.true(hasCode(error, code), `${error}`);
    t.is(server.requests.length, 3);
    t.is(sink.bytes, 3, 'and keeps what came');
  });
}
