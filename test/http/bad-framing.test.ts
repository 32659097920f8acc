import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startRawServer } from '../helpers/raw-server.ts';

const signal = AbortSignal.timeout(600_000);

const answers: Readonly<Record<string, string>> = {
  'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd',
  'a length and chunks':
    'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'a negative length': 'HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc',
  'a length that is not a number': 'HTTP/1.1 200 OK\r\ncontent-length: 3x\r\n\r\nabc',
  'an absurd length': `HTTP/1.1 200 OK\r\ncontent-length: ${'9'.repeat(30)}\r\n\r\nabc`,
  'a coding behind chunked': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'chunks twice':
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'a coding that was not requested': 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'a version with another framing': 'HTTP/2.0 200 OK\r\ncontent-length: 3\r\n\r\nabc',
  'an ancient version': 'HTTP/0.9 200 OK\r\ncontent-length: 3\r\n\r\nabc',
  'interim answers without end': 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(10_000),
  'an escape in a header': 'HTTP/1.1 200 OK\r\netag: "\x1b[31m"\r\ncontent-length: 3\r\n\r\nabc',
  'an escape in a header behind the length': 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\netag: "\x1b[31m"\r\n\r\nabc',
  'a status that is not a number': 'HTTP/1.1 2x0 OK\r\ncontent-length: 3\r\n\r\nabc',
  'a line that ends with a carriage return alone': 'HTTP/1.1 200 OK\rcontent-length: 3\r\n\r\nabc',
  'a chunk longer than it says': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n',
  garbage: '\x00\x01\x02\x03 no http at all\r\n\r\n',
  'another protocol': 'SSH-2.0-OpenSSH_9.2\r\n\r\n',
  'a header without a colon': 'HTTP/1.1 200 OK\r\nwhat is this\r\n\r\n',
  'one huge header': `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}\r\n\r\nabc`,
  'too many headers': `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(100_000)}\r\nabc`,
  'a bad chunk size': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n',
  'trailers without end': `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${'x: y\r\n'.repeat(50_000)}`,
  'an upgrade that was not requested': 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
};

/** What the parser and undici say. */
const parserWords =
  /Response does not match|Expected|Invalid|Missing|Unexpected|Body length|HPE_|bad response|bad upgrade|HTTP\/1.1 protocol/;

for (const [what, answer] of Object.entries(answers)) {
  test(`${what}: refused at once, and the process lives`, async (t) => {
    const server = await startRawServer(t, (socket) => void socket.write(answer));
    const http = openTestHttp(t);
    const error = await t.throwsAsync(http.download({ url: `${server.url}/a?secret`, sink: memorySink() }, signal));
    t.true(hasCode(error, 'RESPONSE_INVALID'), `${error}`);
    t.regex(error.message, /^not a proper HTTP response from 127\.0\.0\.1:\d+(, after \d+ bytes of the body)?: [^A-Z]/);
    t.notRegex(error.message, parserWords);
    t.like(error, { details: { url: `${server.url}/a` } });
    t.is(server.requests.length, 1);
  });
}

test('headers of less than 64 KiB are taken', async (t) => {
  const padding = 'y'.repeat(60_000);
  const server = await startRawServer(t, (socket) => void socket.end(`HTTP/1.0 200 OK\r\nx: ${padding}\r\n\r\nabc`));
  const sink = memorySink();
  await openTestHttp(t).download({ url: server.url, sink }, signal);
  t.is(sink.bytes, 3);
});
