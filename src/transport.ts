export type { HeaderFields, RequestBody, Transport, TransportRequest, TransportResponse } from './http/contract.ts';
import { randomBytes } from 'node:crypto';
import type { RequestListener, ServerResponse } from 'node:http';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { cancelledBy } from './coordinator/outcome.ts';
import { asImageError, isImageError } from './errors.ts';
import type { Transport, TransportRequest, TransportResponse } from './http/contract.ts';
import { bodyOf } from './http/request-body.ts';
import { ownTransport } from './http/transport/own.ts';
import { show } from './image/show.ts';
import { boolean, callback, checkMembers, type Checks, duration, instance } from './library/checks.ts';
import { echo, openSite, pouring, silent, type Site, unreadBytes } from './library/transport-site.ts';

/** Something that a transport does not do as longshore needs it. */
export type TransportFault = {
  /** What should hold, in words. */
  readonly rule: string;
  /** What was seen instead. */
  readonly problem: string;
};

/** What checkTransport is given. */
export type TransportCheckOptions = {
  /** Stops the check, which then rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** How long one rule may take, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number | undefined;
  /** Whether a push shall use it: then the bodies of PUT and PATCH are tried too. Default false. */
  readonly pushes?: boolean | undefined;
};

/**
 * Tries a transport against a server of its own on 127.0.0.1: what it sends and gives back, how it fails and how it ends. It takes a
 * second or two; a transport that does not end its exchanges takes `timeoutMs` for each rule that it breaks.
 *
 * @returns the rules that the transport breaks; none if it can be used.
 * @throws CANCELLED, USAGE
 */
export async function checkTransport(
  transport: Transport,
  options: TransportCheckOptions = {},
): Promise<readonly TransportFault[]> {
  callback(transport, 'transport');
  const { signal, timeoutMs = 10_000, pushes = false } = checkMembers(options, checks, 'checkTransport');
  await using site = await openSite();
  const faults: TransportFault[] = [];
  for (const [rule, check] of Object.entries(pushes ? { ...rules, ...pushRules } : rules)) {
    if (signal?.aborted) throw cancelledBy(signal.reason);
    const problem = await problemOf(check, transport, site, timeoutMs, signal);
    if (problem !== undefined) faults.push({ rule, problem });
  }
  if (signal?.aborted) throw cancelledBy(signal.reason);
  return faults;
}

const checks: Checks<TransportCheckOptions> = {
  signal: instance(AbortSignal, 'an AbortSignal'),
  timeoutMs: duration,
  pushes: boolean,
};

type Trial = {
  /** The transport as it is. */
  readonly transport: Transport;
  /** The transport as longshore uses it. */
  readonly ask: (request: Partial<TransportRequest> & Pick<TransportRequest, 'url'>) => Promise<TransportResponse>;
  /** Serves something at a URL of its own. */
  readonly serve: (listener: RequestListener) => string;
  /** A URL at which nobody listens. */
  readonly nowhere: string;
  /** Waits until a count has not grown for a while, in which the sockets were looked at. */
  readonly whenQuiet: (count: () => number) => Promise<number>;
};

type Rule = (trial: Trial) => Promise<string | undefined>; // what is wrong, if anything is

async function problemOf(
  rule: Rule,
  transport: Transport,
  site: Site,
  timeoutMs: number,
  given: AbortSignal | undefined,
): Promise<string | undefined> {
  const stop = new AbortController();
  const signal = given ? AbortSignal.any([given, stop.signal]) : stop.signal;
  const own = ownTransport(transport, { connectMs: timeoutMs, headersMs: timeoutMs, stallMs: timeoutMs });
  const trial: Trial = {
    transport,
    ask: (request) => own({ method: 'GET', headers: {}, ...request }, signal),
    serve: site.serve,
    nowhere: site.nowhere,
    async whenQuiet(count) {
      for (let before = -1; before !== count(); await setImmediate()) {
        before = count();
        await sleep(Math.min(500, timeoutMs / 4), undefined, { signal });
      }
      return count();
    },
  };
  const over = Promise.withResolvers<string>();
  signal.addEventListener('abort', () => over.resolve('stopped'), { once: true });
  const timer = setTimeout(() => over.resolve(`nothing happened within ${timeoutMs} ms`), timeoutMs);
  try {
    return await Promise.race([rule(trial), over.promise]);
  } catch (error) {
    return show(isImageError(error) ? `${error.code}: ${error.message}` : String(error), 500);
  } finally {
    clearTimeout(timer);
    stop.abort(new Error('the rule has been tried'));
  }
}

const headersSent = { 'x-given': 'a, b', 'accept-encoding': 'identity', 'user-agent': 'check/1' };

/** Sends a request to a server that tells what came. @returns what came otherwise, if anything did */
async function sentOtherwise(
  ask: Trial['ask'],
  request: Pick<TransportRequest, 'method' | 'url' | 'content' | 'body'>,
  content: string,
): Promise<string | undefined> {
  const { body } = await ask({ ...request, headers: headersSent });
  const seen = JSON.parse((await read(body)).toString()) as Readonly<Record<string, string>>;
  const path = request.url.replace(/^http:\/\/[^/]+/, '');
  const wanted = Object.entries({ ...headersSent, method: request.method, path, content });
  const other = wanted.find(([name, value]) => seen[name] !== value);
  return other && `${other[0]} came as "${seen[other[0]]}", not as "${other[1]}"`;
}

/** What only a push needs. */
const pushRules: Readonly<Record<string, Rule>> = {
  'the bodies of PUT and PATCH are sent as they are given': async ({ ask, serve }) => {
    const url = serve(echo);
    const content = 'grüße=1';
    const body = bodyOf(Buffer.from(content));
    return (
      (await sentOtherwise(ask, { method: 'PUT', url, body }, content)) ??
      (await sentOtherwise(ask, { method: 'PATCH', url, body }, content))
    );
  },
};

const rules: Readonly<Record<string, Rule>> = {
  'method, URL, headers and body are sent as they are given': async ({ ask, serve }) => {
    const url = `${serve(echo)}?a=%7eb%2F&c=%20`;
    const content = 'grüße=1';
    return (
      (await sentOtherwise(ask, { method: 'GET', url }, '')) ??
      (await sentOtherwise(ask, { method: 'POST', url, content }, content))
    );
  },
  'a HEAD is sent as such, and its answer has headers and an empty body': async ({ ask, serve }) => {
    const url = serve((request, response) => response.setHeader('x-method', request.method ?? '').end('abc'));
    const { headers, body } = await ask({ method: 'HEAD', url });
    if (headers['x-method'] !== 'HEAD') return `it was sent as ${String(headers['x-method'])}`;
    const { byteLength } = await read(body);
    return byteLength === 0 ? undefined : `its body has ${byteLength} bytes`;
  },
  'each status is an answer': async ({ ask, serve }) => {
    for (const wanted of [204, 401, 404, 503]) {
      const { status, body } = await ask({ url: serve((_, response) => response.writeHead(wanted).end()) });
      await read(body);
      if (status !== wanted) return `${wanted} came as ${status}`;
    }
    return undefined;
  },
  'the values of a repeated header are a list, in their order': async ({ ask, serve }) => {
    const url = serve((_, response) => response.writeHead(200, ['X-A', '1', 'X-B', '2', 'x-a', '3']).end());
    const { headers, body } = await ask({ url });
    await read(body);
    const [found, single] = [JSON.stringify(headers['x-a']), JSON.stringify(headers['x-b'])];
    if (single !== '"2"') return `a header that came once is ${single}`;
    return found === '["1","3"]' ? undefined : `they are ${found}`;
  },
  'the bytes of a body are those on the wire': async ({ ask, serve }) => {
    const sent = randomBytes(1_000_000);
    const { body } = await ask({ url: serve((_, response) => response.end(sent)) });
    return (await read(body)).equals(sent) ? undefined : 'other bytes arrived';
  },
  'a body that is coded is not decoded': async ({ ask, serve }) => {
    const sent = gzipSync('text');
    const url = serve((_, response) => response.setHeader('content-encoding', 'gzip').end(sent));
    const { headers, body } = await ask({ url });
    if (!(await read(body)).equals(sent)) return 'the bytes are not those on the wire';
    return headers['content-encoding'] === 'gzip' ? undefined : 'the header that says so is not there';
  },
  'a redirect is an answer, and is not followed': async ({ ask, serve }) => {
    const location = serve((_, response) => response.end('followed'));
    const { status, headers, body } = await ask({
      url: serve((_, response) => response.writeHead(302, { location }).end()),
    });
    await read(body);
    if (status !== 302) return `it came as ${status}`;
    return headers['location'] === location ? undefined : 'it has no location';
  },
  'a part of a body can be asked for': async ({ ask, serve }) => {
    const listener: RequestListener = (request, response) => {
      const isAsked = request.headers.range === 'bytes=2-' && request.headers['if-range'] === '"1"';
      if (!isAsked) return response.end('abcdef');
      return response.writeHead(206, { 'content-range': 'bytes 2-5/6' }).end('cdef');
    };
    const { status, headers, body } = await ask({
      url: serve(listener),
      headers: { range: 'bytes=2-', 'if-range': '"1"' },
    });
    const found = (await read(body)).toString();
    const isRight = status === 206 && headers['content-range'] === 'bytes 2-5/6' && found === 'cdef';
    return isRight ? undefined : `${status} came, with "${found}"`;
  },
  'a body that nobody reads stays in the network, and comes when it is read': async ({ ask, serve, whenQuiet }) => {
    const { listener, sent } = pouring(unreadBytes);
    const { body } = await ask({ url: serve(listener) });
    let [received, before] = [0, 0];
    for await (const chunk of body) {
      if (received === 0) before = await whenQuiet(sent);
      if (before === unreadBytes) return `${unreadBytes} bytes were taken while nobody read`;
      received += chunk.byteLength;
      if (received > before) return undefined;
    }
    return `it ended after ${received} bytes`;
  },
  'a body that is left early ends the exchange': async ({ ask, serve }) => {
    const { listener, closed } = pouring(Infinity);
    const { body } = await ask({ url: serve(listener) });
    for await (const chunk of body) if (chunk.byteLength > 0) break;
    await closed;
    return undefined;
  },
  'a signal that is aborted already: it rejects, and sends nothing': async ({ transport, serve }) => {
    let isAsked = false;
    const url = serve((_, response) => {
      isAsked = true;
      response.end();
    });
    const hasRejected = await rejects(() => transport({ method: 'GET', url, headers: {} }, AbortSignal.abort()));
    if (!hasRejected) return 'it did not reject';
    return isAsked ? 'a request arrived' : undefined;
  },
  'a signal that is aborted before the answer: it rejects, and the connection ends': async ({ transport, serve }) => {
    const { listener, arrived, closed } = silent();
    const stop = new AbortController();
    const asked = rejects(() => transport({ method: 'GET', url: serve(listener), headers: {} }, stop.signal));
    await arrived;
    stop.abort();
    await closed;
    return (await asked) ? undefined : 'it did not reject';
  },
  'a signal that is aborted within the body: that rejects, and the connection ends': async ({ transport, serve }) => {
    const { listener, closed } = pouring(Infinity);
    const stop = new AbortController();
    const { body } = await transport({ method: 'GET', url: serve(listener), headers: {} }, stop.signal);
    const hasRejected = await rejects(async () => {
      for await (const chunk of body) if (chunk.byteLength > 0) stop.abort();
    });
    await closed;
    return hasRejected ? undefined : 'the body ended as if it were complete';
  },
  'a connection that fails is an error of the network': async ({ ask, serve, nowhere }) => {
    const cut = serve(({ socket }) => socket.destroy());
    for (const [what, url] of Object.entries({ 'a refused connection': nowhere, 'a cut connection': cut })) {
      const code = await codeOf(async () => ask({ url }));
      if (code !== 'NETWORK') return `${what} is ${code ?? 'an answer'}, not NETWORK`;
    }
    return undefined;
  },
  'a body that is cut is an error of the network': async ({ ask, serve }) => {
    for (const headers of [{ 'content-length': '9' }, { 'transfer-encoding': 'chunked' }]) {
      const url = serve((_, response) => {
        response.writeHead(200, headers).write('abc', () => response.socket?.end());
      });
      const code = await codeOf(async () => read((await ask({ url })).body));
      const isRight = code === 'NETWORK' || code === 'LENGTH_MISMATCH';
      if (!isRight) return `a cut body with ${Object.keys(headers).join()} is ${code ?? 'complete'}`;
    }
    return undefined;
  },
  'sixteen exchanges run at the same time': async ({ ask, serve }) => {
    const waiting: ServerResponse[] = [];
    const url = serve((_, response) => {
      waiting.push(response);
      if (waiting.length === 16) for (const one of waiting) one.end();
    });
    const answers = await Promise.all(Array.from({ length: 16 }, () => ask({ url })));
    await Promise.all(answers.map(({ body }) => read(body)));
    return undefined;
  },
};

async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(body));
}

async function rejects(work: () => Promise<unknown>): Promise<boolean> {
  return (await codeOf(work)) !== undefined;
}

/** The code of what the work fails with; undefined if it does not. */
async function codeOf(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return asImageError(error).code;
  }
}
