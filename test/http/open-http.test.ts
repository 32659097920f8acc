import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import type { Transport, Validator } from '../../src/http/contract.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);

test('a replaced transport still gets redirects, retries and resumption', async (t) => {
  const asked: string[] = [];
  async function* body(text: string): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    yield Buffer.from(text);
  }
  const transport: Transport = ({ url, headers }) => {
    asked.push(`${url} ${headers['range'] ?? ''}`);
    if (url.endsWith('/a')) return Promise.resolve({ status: 302, headers: { location: '/b' }, body: body('') });
    const rest = headers['range'] !== undefined;
    return Promise.resolve({
      status: rest ? 206 : 200,
      headers: { etag: '"1"', ...(rest ? { 'content-range': 'bytes 3-5/6' } : { 'content-length': '6' }) },
      body: body(rest ? 'def' : 'abc'),
    });
  };
  const sink = memorySink();
  await openTestHttp(t, { transport }).download({ url: 'http://a.example/a', sink }, signal);
  t.is(sink.content().toString(), 'abcdef');
  const [a, b] = ['http://a.example/a', 'http://a.example/b'];
  t.deepEqual(asked, [`${a} `, `${b} `, `${a} bytes=3-`, `${b} bytes=3-`]);
});

test('a body is downloaded into a file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'http-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const body = randomBytes(3_000_000);
  const server = await startServer(t, { '/a': { body, etag: '"1"', cutAfter: 2_000_000 } });
  await using file = await open(join(directory, 'part'), 'w');
  let validator: Validator | undefined;
  let bytes = 0;
  const sink = {
    get bytes() {
      return bytes;
    },
    get validator() {
      return validator;
    },
    total: undefined,
    async restart(about: { validator?: Validator }) {
      await file.truncate(0);
      [bytes, validator] = [0, about.validator];
    },
    async append(chunks: readonly Uint8Array[]) {
      bytes += (await file.writev([...chunks], bytes)).bytesWritten;
    },
  };
  await openTestHttp(t).download({ url: `${server.url}/a`, sink }, signal);
  t.true((await readFile(join(directory, 'part'))).equals(body));
});

test('silent servers do not delay the others', async (t) => {
  const hang = { handler: () => undefined };
  const routes = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`/hang${n}`, hang]));
  const server = await startServer(t, { ...routes, '/a': { body: 'yes' } });
  const http = openTestHttp(t, { retries: 0, timeouts: { connectMs: 600_000, headersMs: 600_000, stallMs: 600_000 } });
  const hanging = Promise.allSettled(
    Object.keys(routes).map((path) => http.download({ url: server.url + path, sink: memorySink() }, signal)),
  );
  for (let n = 0; n < 50; n += 1) await http.download({ url: `${server.url}/a`, sink: memorySink() }, signal);
  await http.close();
  t.true((await hanging).every(({ status }) => status === 'rejected'));
});
