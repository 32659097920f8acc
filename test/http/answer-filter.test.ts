import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';
import fc from 'fast-check';

import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startRawServer } from '../helpers/raw-server.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc';

for (const [what, interim] of Object.entries({
  '100': 'HTTP/1.1 100 Continue\r\n\r\n',
  '100 without a reason': 'HTTP/1.1 100\r\n\r\n',
  '103 with headers': 'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n',
  'several of them': 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(20) + 'HTTP/1.0 100 Continue\r\na: b\r\n\r\n',
})) {
  test(`${what} before an answer is skipped, again and again on a connection`, async (t) => {
    const connections = new Set<Socket>();
    const server = await startRawServer(t, (socket) => {
      connections.add(socket);
      socket.write(interim + answer);
    });
    const http = openTestHttp(t);
    for (let n = 0; n < 3; n += 1) {
      const sink = memorySink();
      await http.download({ url: `${server.url}/${n}`, sink }, signal);
      t.is(sink.content().toString(), 'abc');
    }
    t.is(server.requests.length, 3);
    t.true(connections.size < 3, 'connections serve again');
  });
}

test('wherever an interim answer is cut into packets, the answer behind it is whole', async (t) => {
  let cuts: readonly number[] = [];
  const whole = `HTTP/1.1 100 Continue\r\nx: y\r\n\r\n${answer}`;
  const server = await startRawServer(t, (socket) => {
    socket.setNoDelay(true);
    void (async () => {
      let from = 0;
      for (const to of [...cuts, whole.length]) {
        socket.write(whole.slice(from, to));
        from = to;
        await sleep(2);
      }
    })();
  });
  const http = openTestHttp(t);
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(whole.length), { maxLength: 4 }), async (found) => {
      cuts = found.toSorted((one, other) => one - other);
      const sink = memorySink();
      await http.download({ url: server.url, sink }, signal);
      t.is(sink.content().toString(), 'abc');
    }),
    { numRuns: 40 },
  );
});

test('a body that looks like an interim answer is a body', async (t) => {
  const body = 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20_000);
  const server = await startServer(t, { '/a': { body } });
  const sink = memorySink();
  await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.is(sink.content().toString(), body);
});

for (const proxied of [false, true]) {
  test(`1xx is skipped over TLS${proxied ? ', in a tunnel' : ''}`, async (t) => {
    const server = await startServer(
      t,
      {
        '/a': {
          handler: (_, response) => {
            response.writeProcessing();
            response.writeContinue();
            response.end('abc');
          },
        },
      },
      { https: true },
    );
    const proxy = proxied ? await startProxy(t, { https: true }) : undefined;
    const http = openTestHttp(t, { ca: [server.ca], ...(proxy && { proxy: { https: proxy.url } }) });
    for (let n = 0; n < 2; n += 1) {
      const sink = memorySink();
      await http.download({ url: `${server.url}/a`, sink }, signal);
      t.is(sink.content().toString(), 'abc');
    }
  });
}
