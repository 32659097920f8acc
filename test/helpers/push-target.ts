import { createHash, randomUUID } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { buffer } from 'node:stream/consumers';

import { makeCertificate } from './certificates.ts';
import { listen, type LoggedRequest, type Teardown } from './server.ts';

/** A request to the registry, before its body is read. */
export type Ask = {
  readonly method: string;
  readonly url: URL;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
};

export type TargetOptions = {
  readonly https?: boolean;
  /** Asked of every request first. @returns true if it has answered */
  readonly intercept?: (ask: Ask) => boolean | Promise<boolean>;
  /** Blobs of other repositories are not mounted: an upload is begun. */
  readonly mountsNothing?: boolean;
  /** Manifests have an ETag, and a write is refused whose If-Match or If-None-Match does not hold. */
  readonly knowsConditions?: boolean;
  /** Where an upload goes on: from its path. Default: that path. */
  readonly location?: (path: string) => string;
};

/** A registry on a loopback port that takes images. It checks what it is sent. */
export type PushTarget = {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly url: string;
  readonly ca: string;
  readonly requests: readonly LoggedRequest[];
  /** Manifests by `REPOSITORY:TAG` and `REPOSITORY@DIGEST`, in the order in which they came. */
  readonly manifests: Map<string, { readonly bytes: Buffer; readonly type: string }>;
  /** Blobs by `REPOSITORY@DIGEST`. */
  readonly blobs: Map<string, Buffer>;
  /** Bytes by the path of the upload. */
  readonly uploads: Map<string, Buffer>;
  /** Requests of a method whose path and query match, since the start. */
  asked(method: string, path?: RegExp): readonly string[];
};

export async function startPushTarget(t: Teardown, options: TargetOptions = {}): Promise<PushTarget> {
  const requests: LoggedRequest[] = [];
  const [blobs, uploads] = [new Map<string, Buffer>(), new Map<string, Buffer>()];
  const manifests: PushTarget['manifests'] = new Map();
  const { location = (path: string) => path } = options;

  const answer = (
    response: ServerResponse,
    status: number,
    headers: Record<string, string> = {},
    body?: Buffer,
  ): void => void response.writeHead(status, { 'content-length': String(body?.length ?? 0), ...headers }).end(body);
  const refuse = (response: ServerResponse, status: number, code: string): void =>
    answer(
      response,
      status,
      { 'content-type': 'application/json' },
      Buffer.from(JSON.stringify({ errors: [{ code, message: '' }] })),
    );
  const range = (bytes: Buffer) => ({ range: `0-${Math.max(0, bytes.length - 1)}` });

  const manifestsOf = async ({ method, request, response }: Ask, repository: string, name: string): Promise<void> => {
    if (method === 'PUT') {
      const bytes = await buffer(request);
      const digest = digestOf(bytes);
      const missing = namedIn(bytes).find(
        (one) => !blobs.has(`${repository}@${one}`) && !manifests.has(`${repository}@${one}`),
      );
      if (missing !== undefined) return refuse(response, 400, 'MANIFEST_BLOB_UNKNOWN');
      const { 'if-match': wanted, 'if-none-match': unwanted } = request.headers;
      const there = manifests.get(`${repository}:${name}`);
      const isRefused = there ? unwanted === '*' || (wanted ?? etagOf(there.bytes)) !== etagOf(there.bytes) : wanted;
      if (options.knowsConditions && isRefused) return refuse(response, 412, 'PRECONDITION_FAILED');
      const stored = { bytes, type: request.headers['content-type'] ?? '' };
      manifests.set(`${repository}@${digest}`, stored);
      if (!name.startsWith('sha256:')) manifests.set(`${repository}:${name}`, stored);
      return answer(response, 201, { 'docker-content-digest': digest });
    }
    const found = manifests.get(`${repository}${name.startsWith('sha256:') ? '@' : ':'}${name}`);
    if (!found) return refuse(response, 404, 'MANIFEST_UNKNOWN');
    const headers = {
      ...{ 'docker-content-digest': digestOf(found.bytes), 'content-type': found.type },
      ...(options.knowsConditions && { etag: etagOf(found.bytes) }),
    };
    return answer(response, 200, headers, found.bytes);
  };

  const begin = ({ url, response }: Ask, repository: string): void => {
    const [mount, from] = [url.searchParams.get('mount'), url.searchParams.get('from')];
    const known = mount === null || from === null || options.mountsNothing ? undefined : blobs.get(`${from}@${mount}`);
    if (known && mount !== null) {
      blobs.set(`${repository}@${mount}`, known);
      return answer(response, 201, { 'docker-content-digest': mount });
    }
    const path = `/v2/${repository}/blobs/uploads/${randomUUID()}`;
    uploads.set(path, Buffer.alloc(0));
    return answer(response, 202, { location: location(path), range: '0-0' });
  };

  const goOn = async ({ method, url, request, response }: Ask, repository: string): Promise<void> => {
    const before = uploads.get(url.pathname);
    if (!before) return refuse(response, 404, 'BLOB_UPLOAD_UNKNOWN');
    if (method === 'GET') return answer(response, 204, { location: location(url.pathname), ...range(before) });
    const start = /^(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1];
    if (start !== undefined && Number(start) !== before.length) return refuse(response, 416, 'BLOB_UPLOAD_INVALID');
    const chunks: AsyncIterable<Buffer> = request; // without an encoding
    const received = [before];
    let bytes: Buffer;
    try {
      for await (const chunk of chunks) received.push(chunk);
    } finally {
      bytes = Buffer.concat(received);
      uploads.set(url.pathname, bytes); // what came before a broken connection is there
    }
    if (method === 'PATCH') return answer(response, 202, { location: location(url.pathname), ...range(bytes) });
    const digest = url.searchParams.get('digest') ?? '';
    uploads.delete(url.pathname);
    if (digestOf(bytes) !== digest) return refuse(response, 400, 'DIGEST_INVALID');
    blobs.set(`${repository}@${digest}`, bytes);
    return answer(response, 201, { 'docker-content-digest': digest });
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', headers } = request;
    requests.push({ method, url: request.url ?? '', headers });
    const url = new URL(request.url ?? '', 'http://registry');
    const ask = { method, url, request, response };
    if (await options.intercept?.(ask)) return;
    if (url.pathname === '/v2/') return answer(response, 200);
    const [, repository = '', kind, name = ''] =
      /^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs)\/(.*)$/.exec(url.pathname) ?? [];
    if (kind === 'manifests') return manifestsOf(ask, repository, name);
    if (kind === 'blobs/uploads') return name === '' ? begin(ask, repository) : goOn(ask, repository);
    const blob = blobs.get(`${repository}@${name}`);
    return blob
      ? answer(response, 200, { 'docker-content-digest': name }, blob)
      : refuse(response, 404, 'BLOB_UNKNOWN');
  };

  const tls = options.https ? await makeCertificate(['127.0.0.1', 'localhost']) : undefined;
  const listener = (request: IncomingMessage, response: ServerResponse): void =>
    void serve(request, response).catch(() => response.destroy());
  const server = tls ? createHttpsServer({ cert: tls.cert, key: tls.key }, listener) : createHttpServer(listener);
  const { port } = await listen(t, server);
  return {
    ...{ host: `127.0.0.1:${port}`, url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, ca: tls?.ca ?? '' },
    ...{ requests, manifests, blobs, uploads },
    asked: (method, path = /./) =>
      requests.filter((one) => one.method === method && path.test(one.url)).map(({ url }) => url),
  };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function etagOf(bytes: Uint8Array): string {
  return `"${digestOf(bytes)}"`;
}

type Named = { readonly digest: string };

function namedIn(bytes: Buffer): readonly string[] {
  const {
    config,
    layers = [],
    manifests = [],
  } = JSON.parse(bytes.toString()) as {
    readonly config?: Named;
    readonly layers?: readonly Named[];
    readonly manifests?: readonly Named[];
  };
  return [...(config ? [config] : []), ...layers, ...manifests].map(({ digest }) => digest);
}
