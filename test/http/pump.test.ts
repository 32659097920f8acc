import test from 'ava';

import { pump } from '../../src/http/pump.ts';
import { memorySink } from '../helpers/memory-sink.ts';

const signal = AbortSignal.timeout(30_000);
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

test('a slow body is appended as it comes', async (t) => {
  const sink = memorySink();
  await pump(chunks(4, 60), sink, pumping, signal);
  t.true(sink.appends.length >= 3);
});

test('a sink that is slow holds the body up at about a mebibyte, and appends do not overlap', async (t) => {
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

test('what came before a failure is appended, then the failure reported', async (t) => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* chunks(3);
    await pause(0);
    throw new Error('cut');
  }
  const sink = memorySink();
  await t.throwsAsync(pump(failing(), sink, pumping, signal), { message: 'cut' });
  t.is(sink.bytes, 3 * chunk.byteLength);
});

test('the failure of the sink counts before that of the body, and nothing is appended after it', async (t) => {
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
