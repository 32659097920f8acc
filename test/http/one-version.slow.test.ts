import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import test from 'ava';
import fc from 'fast-check';

import { isImageError } from '../../src/errors.ts';
import { openTestHttp } from '../helpers/http.ts';
import { memorySink } from '../helpers/memory-sink.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);

/** What a server does with one request. */
type Whim = {
  /** A new version of the file is there. */
  readonly changes: boolean;
  readonly validator: 'etag' | 'weak' | 'date' | 'none';
  readonly ifRange: 'honoured' | 'ignored';
  readonly range: 'right' | 'none' | 'early' | 'late' | 'other total' | 'no total' | 'missing' | 'refused';
  readonly chunked: boolean;
  /** Parts of a hundred that are sent before the connection is cut; 100: no cut. */
  readonly sends: number;
};

const whims = fc.array(
  fc.record<Whim>({
    changes: fc.oneof({ arbitrary: fc.constant(false), weight: 2 }, { arbitrary: fc.constant(true), weight: 1 }),
    validator: fc.constantFrom('etag', 'etag', 'etag', 'weak', 'date', 'none'),
    ifRange: fc.constantFrom('honoured', 'honoured', 'ignored'),
    range: fc.constantFrom(
      'right',
      'right',
      'right',
      'none',
      'early',
      'late',
      'other total',
      'no total',
      'missing',
      'refused',
    ),
    chunked: fc.boolean(),
    sends: fc.oneof(
      { arbitrary: fc.integer({ min: 1, max: 60 }), weight: 9 },
      { arbitrary: fc.constant(100), weight: 1 },
    ),
  }),
  { minLength: 1, maxLength: 15 },
);
const honest: Whim = {
  changes: false,
  validator: 'etag',
  ifRange: 'honoured',
  range: 'right',
  chunked: false,
  sends: 100,
};

/** The first byte of a version is its number, so that a mixture shows. */
const versionBody = (version: number) => {
  const noise = createHash('shake256', { outputLength: 3000 + 20 * version })
    .update(`${version}`)
    .digest();
  return Buffer.concat([Buffer.of(version), noise]);
};
const versionDate = (version: number) => new Date(Date.UTC(2025, 0, 1, 0, version)).toUTCString();

function serve(
  { validator, ifRange, range, chunked, sends }: Whim,
  version: number,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const body = versionBody(version);
  const etag = `"${version}"`;
  const date = versionDate(version);
  const asked = /\d+/.exec(request.headers.range ?? '')?.[0];
  const condition = request.headers['if-range'];
  const isSame = condition === undefined || condition === etag || condition === date;
  // Who ignores If-Range at least says which version it sends from; nobody could tell otherwise.
  const says = ifRange === 'ignored' && validator === 'none' ? 'etag' : validator;
  const validators = {
    ...(says === 'etag' && { etag }),
    ...(says === 'weak' && { etag: `W/${etag}` }),
    ...(says === 'date' && { 'last-modified': date }),
  };
  const start =
    asked !== undefined && range !== 'none' && (isSame || ifRange === 'ignored') ? Number(asked) : undefined;
  if (start !== undefined && (start >= body.byteLength || range === 'refused')) {
    response.writeHead(416, { ...validators, 'content-range': `bytes */${body.byteLength}` }).end();
    return;
  }
  const from = Math.max(0, (start ?? 0) + ({ early: -10, late: 10 }[range as string] ?? 0));
  const part = start === undefined ? body : body.subarray(from);
  const total = { 'other total': body.byteLength + 1, 'no total': '*' }[range as string] ?? body.byteLength;
  const contentRange = `bytes ${from}-${body.byteLength - 1}/${total}`;
  response.writeHead(start === undefined ? 200 : 206, {
    ...validators,
    ...(start !== undefined && range !== 'missing' && { 'content-range': contentRange }),
    ...(!chunked && { 'content-length': part.byteLength }),
  });
  if (sends === 100) response.end(part);
  else response.write(part.subarray(0, (part.byteLength * sends) / 100), () => response.destroy());
}

test('however a server changes its file or answers wrongly, a download has all bytes of one version', async (t) => {
  let queue: Whim[] = [];
  let version = 0;
  let resumes = 0;
  const server = await startServer(t, {
    '/a': {
      handler(request, response) {
        const whim = queue.shift() ?? honest;
        if (whim.changes) version = (version + 1) % 200;
        if (request.headers.range !== undefined) resumes += 1;
        serve(whim, version, request, response);
      },
    },
  });
  const http = openTestHttp(t);

  await fc.assert(
    fc.asyncProperty(whims, async (given) => {
      queue = [...given];
      const sink = memorySink();
      const isOneVersion = () => {
        const content = sink.content();
        return content.equals(versionBody(content[0] ?? 0).subarray(0, content.byteLength));
      };
      for (let run = 0; run < 20; run += 1) {
        try {
          await http.download({ url: `${server.url}/a`, sink }, signal);
          break;
        } catch (error) {
          if (!isImageError(error)) throw error;
          t.true(isOneVersion());
        }
      }
      const content = sink.content();
      t.true(content.equals(versionBody(content[0] ?? 0)), `${content.byteLength} bytes of version ${content[0]}`);
    }),
    { numRuns: 400 },
  );
  t.true(resumes > 500, `${resumes} resumes`);
});
