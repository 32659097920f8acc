import { createHash } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { text } from 'node:stream/consumers';

import { makeCertificate } from './certificates.ts';
import { type Route, serveRoute } from './serve-route.ts';
import { listen, type LoggedRequest, type Teardown } from './server.ts';

export const types = {
  index: 'application/vnd.oci.image.index.v1+json',
  list: 'application/vnd.docker.distribution.manifest.list.v2+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  plainLayer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

export type TestDescriptor = { readonly mediaType: string; readonly digest: string; readonly size: number };

export type TestRegistryOptions = {
  readonly https?: boolean;
  /** Asked of every request below /v2/ first; a route is served in the place of what is there. */
  readonly guard?: (request: IncomingMessage) => Route | undefined;
};

export type TestRegistry = {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly url: string;
  readonly ca: string;
  readonly requests: readonly (LoggedRequest & { readonly content: string })[];
  /** By path, or method and path; whatever has been put is served from here, and may be changed into a lie. */
  readonly routes: Record<string, Route>;
  putBlob(repository: string, bytes: Uint8Array | string, mediaType?: string): TestDescriptor;
  /** @param value - JSON, or the bytes themselves. */
  putManifest(repository: string, tag: string | undefined, value: object | string, mediaType?: string): TestDescriptor;
  /** An image of these layers for a platform, with its configuration. */
  putImage(repository: string, tag: string | undefined, image?: TestImage): TestDescriptor & { manifest: ImageJson };
};

type TestImage = {
  readonly layers?: readonly (Uint8Array | string)[];
  readonly os?: string;
  readonly architecture?: string;
  /** How it is run. */
  readonly config?: Readonly<Record<string, unknown>>;
};

type ImageJson = {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly config: TestDescriptor;
  readonly layers: readonly TestDescriptor[];
};

/** A registry on a loopback port that holds what is put into it, and lies where it is told to. */
export async function startRegistry(t: Teardown, options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const requests: (LoggedRequest & { content: string })[] = [];
  const routes: Record<string, Route> = { '/v2/': { body: '{}' } };
  const serve = async (...[request, response]: Parameters<RequestListener>): Promise<void> => {
    const { method = '', url = '', headers } = request;
    requests.push({ method, url, headers, content: method === 'POST' ? await text(request) : '' });
    const path = url.replace(/\?.*$/s, '');
    const guarded = path.startsWith('/v2/') ? options.guard?.(request) : undefined;
    await serveRoute(guarded ?? routes[`${method} ${path}`] ?? routes[path] ?? unknown, request, response);
  };
  const listener: RequestListener = (request, response) => void serve(request, response);
  const tls = options.https ? await makeCertificate(['127.0.0.1', 'localhost']) : undefined;
  const { port } = await listen(
    t,
    tls ? createHttpsServer({ cert: tls.cert, key: tls.key }, listener) : createHttpServer(listener),
  );

  function putBlob(repository: string, bytes: Uint8Array | string, mediaType: string = types.layer): TestDescriptor {
    const descriptor = describe(bytes, mediaType);
    routes[`/v2/${repository}/blobs/${descriptor.digest}`] = { body: bytes };
    return descriptor;
  }

  function putManifest(
    repository: string,
    tag: string | undefined,
    value: object | string,
    mediaType: string = types.manifest,
  ): TestDescriptor {
    const body = typeof value === 'string' ? value : JSON.stringify(value);
    const descriptor = describe(body, mediaType);
    const headers = { 'content-type': mediaType, 'docker-content-digest': descriptor.digest };
    for (const name of [descriptor.digest, ...(tag === undefined ? [] : [tag])]) {
      routes[`/v2/${repository}/manifests/${name}`] = { body, headers };
    }
    return descriptor;
  }

  return {
    host: `127.0.0.1:${port}`,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    ca: tls?.ca ?? '',
    requests,
    routes,
    putBlob,
    putManifest,
    putImage(repository, tag, { layers = ['layer'], os = 'linux', architecture = 'amd64', config: runtime } = {}) {
      const diffIds = layers.map((layer) => describe(layer, '').digest);
      const config = JSON.stringify({
        os,
        architecture,
        ...(runtime && { config: runtime }),
        rootfs: { type: 'layers', diff_ids: diffIds },
      });
      const manifest: ImageJson = {
        schemaVersion: 2,
        mediaType: types.manifest,
        config: putBlob(repository, config, types.config),
        layers: layers.map((layer) => putBlob(repository, layer, isGzip(layer) ? types.layer : types.plainLayer)),
      };
      return { ...putManifest(repository, tag, manifest), manifest };
    },
  };
}

function isGzip(bytes: Uint8Array | string): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

const unknown: Route = refusal(404, 'MANIFEST_UNKNOWN', 'manifest unknown');

/** An answer as registries refuse. */
export function refusal(status: number, code: string, message: string, headers: Record<string, string> = {}): Route {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ errors: [{ code, message }] }),
  };
}

export function describe(bytes: Uint8Array | string, mediaType: string): TestDescriptor {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { mediaType, digest, size: Buffer.byteLength(bytes) };
}
