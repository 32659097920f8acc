import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import test, { type ExecutionContext } from 'ava';

import { inDirectory, type OriginOptions, startOrigin } from '../../src/sample/origin.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

async function openOrigin(t: ExecutionContext, shape: Pick<OriginOptions, 'delayMs' | 'rate' | 'loss'> = {}) {
  const dir = join(await temporaryDirectory(t), 'files');
  await mkdir(dir);
  await writeFile(join(dir, '../secret'), 'secret');
  await writeFile(join(dir, 'file'), Buffer.alloc(100_000, 'abcdefghi'));
  const origin = await startOrigin({ find: inDirectory(dir), discoveryPage: (url) => `<${url}>`, ...shape });
  t.teardown(() => origin[Symbol.asyncDispose]());
  return async (path: string, headers: Record<string, string> = {}) => {
    const [response] = (await once(get(`${origin.url}${path}`, { headers, agent: false }), 'response')) as [
      IncomingMessage,
    ];
    return response;
  };
}

test('a file is served completely, from a position on, or not at all if the client has it', async (t) => {
  const ask = await openOrigin(t);
  const whole = await ask('/file');
  t.is((await buffer(whole)).length, 100_000);
  const etag = String(whole.headers.etag);
  const rest = await ask('/file', { range: 'bytes=99991-', 'if-range': etag });
  t.is(rest.statusCode, 206);
  t.is((await buffer(rest)).toString(), 'bcdefghia'.slice(0, 9));
  t.is((await ask('/file', { 'if-none-match': etag })).statusCode, 304);
  t.is((await ask('/file', { range: 'bytes=5-', 'if-range': '"another"' })).statusCode, 200);
});

test('paths outside of the directory, or of no regular file, are not found', async (t) => {
  const ask = await openOrigin(t);
  for (const path of ['/none', '/', '/%2e%2e/secret', '/..%2fsecret']) t.is((await ask(path)).statusCode, 404, path);
});

test('every path answers a discovery request', async (t) => {
  const ask = await openOrigin(t);
  t.regex((await buffer(await ask('/any/name?ac-discovery=1'))).toString(), /^<http:\/\/127\.0\.0\.1:\d+>$/);
});

test('a slow origin waits before it answers, and sends the head before the body', async (t) => {
  const ask = await openOrigin(t, { delayMs: 150, rate: 200_000 });
  const startMs = performance.now();
  const response = await ask('/file');
  const headMs = performance.now() - startMs;
  await buffer(response);
  const bodyMs = performance.now() - startMs - headMs;
  t.true(headMs >= 145, `${headMs}`);
  t.true(bodyMs >= 400, `${bodyMs}`);
});

test('the requested share of answers breaks off halfway, and the rest can be fetched', async (t) => {
  const ask = await openOrigin(t, { loss: 50 });
  const lengths: number[] = [];
  for (let count = 0; count < 4; count += 1) {
    const response = await ask('/file');
    t.is(response.headers['content-length'], '100000');
    let length = 0;
    try {
      for await (const chunk of response) length += (chunk as Buffer).length; // a response without an encoding
    } catch (error) {
      t.is((error as Error).message, 'aborted');
    }
    lengths.push(length);
  }
  t.deepEqual(lengths, [100_000, 50_000, 100_000, 50_000]);
  t.is((await buffer(await ask('/file', { range: 'bytes=50000-' }))).length, 50_000);
});
