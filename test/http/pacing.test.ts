import test from 'ava';

import type { Pacing } from '../../src/http/contract.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);

/** Writes down what it is told, and has a connection given up once `enough` bytes have come. */
function recorded(enough = Infinity) {
  const told: string[] = [];
  const ends = new Set<() => void>();
  let bytes = 0;
  const pacing: Pacing = {
    onConnection(giveUp) {
      told.push('connection');
      ends.add(giveUp);
      return () => {
        ends.delete(giveUp);
        told.push('over');
      };
    },
    onWaiting: () => undefined,
    onAnswer: () => void told.push('answer'),
    onRefused: () => false,
    onCut: () => undefined,
    onBytes(more) {
      bytes += more;
      if (bytes >= enough) ends.forEach((end) => end());
    },
    async pause(wait) {
      told.push('pause');
      await wait();
    },
  };
  return { pacing, told, ends, bytes: () => bytes };
}

test('pacing is told of each connection, of its answer and bytes, and of each wait for a retry', async (t) => {
  let count = 0;
  const server = await startServer(t, {
    '/a': { handler: (_, response) => void response.writeHead((count += 1) > 1 ? 200 : 503).end('hello') },
  });
  const { pacing, told, ends, bytes } = recorded();
  await openTestHttp(t).download({ url: `${server.url}/a`, sink: memorySink(), observer: { pacing } }, signal);
  t.deepEqual(told, ['connection', 'answer', 'over', 'pause', 'connection', 'answer', 'over']);
  t.is(bytes(), 5);
  t.is(ends.size, 0);
});

test('a download that gives up its connection is resumed, and that does not count as a try', async (t) => {
  const server = await startRawServer(t, (socket, _head, requests) => {
    const rest = requests === 1 ? 'HTTP/1.1 200 OK\r\netag: "1"' : 'HTTP/1.1 206 OK\r\ncontent-range: bytes 3-5/6';
    socket.write(`${rest}\r\ncontent-length: ${requests === 1 ? 6 : 3}\r\n\r\n${requests === 1 ? 'abc' : 'def'}`);
  });
  const { pacing, told } = recorded(3);
  const retries: unknown[] = [];
  const sink = memorySink();
  const observer = { pacing, onRetry: (retry: unknown) => void retries.push(retry) };
  await openTestHttp(t, { retries: 0 }).download({ url: server.url, sink, observer }, signal);
  t.is(sink.content().toString(), 'abcdef');
  t.regex(server.requests[1] ?? '', /range: bytes=3-\r\nif-range: "1"/);
  t.deepEqual(retries, []);
  t.deepEqual(told, ['connection', 'answer', 'over', 'pause', 'connection', 'answer', 'over']);
});

test('a download that is aborted while it waits for a slot ends with the reason of the abort', async (t) => {
  const server = await startServer(t, { '/a': { status: 503 } });
  const stop = new AbortController();
  const { pacing } = recorded();
  const pause = async (): Promise<void> => {
    stop.abort(new Error('enough'));
    await new Promise((_, reject) => reject(stop.signal.reason as Error));
  };
  const request = { url: `${server.url}/a`, sink: memorySink(), observer: { pacing: { ...pacing, pause } } };
  await t.throwsAsync(openTestHttp(t).download(request, stop.signal), { message: 'enough' });
});
