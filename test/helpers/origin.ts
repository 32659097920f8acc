import { type Aci, type AciOptions, buildAci } from './archive.ts';
import type { Route } from './serve-route.ts';
import { type ServerOptions, startServer, type Teardown, type TestServer } from './server.ts';

export type OriginOptions = ServerOptions & {
  /** Signs every archive that is published. */
  readonly sign?: (archive: Uint8Array) => Promise<Uint8Array>;
};

/** A server that publishes images under `example.com`, as discovery finds them. */
export type Origin = TestServer & {
  /** For `ActionOptions`: names below example.com are looked for here. */
  readonly discover: readonly [{ readonly prefix: string; readonly origin: string }];
  /** Builds, signs and publishes an image at `/NAME-VERSION.aci`; `route` says how it is served. */
  publish(this: void, options: AciOptions, route?: Route): Promise<Published>;
  /** How often a path was got. */
  served(this: void, path: string): number;
};

export type Published = Aci & { readonly path: string; readonly url: string };

export async function startOrigin(t: Teardown, { sign, ...options }: OriginOptions = {}): Promise<Origin> {
  const server = await startServer(t, {}, options);
  const template = `${server.url}/{name}-{version}.{ext}`;
  server.routes['/example.com'] = { body: `<meta name="ac-discovery" content="example.com ${template}">` };
  return {
    ...server,
    discover: [{ prefix: 'example.com', origin: server.url }],
    async publish(image, route = {}) {
      const aci = await buildAci(image);
      const path = `/${image.name}-${image.version ?? 'latest'}.aci`;
      server.routes[path] = { body: aci.bytes, ...route };
      if (sign) server.routes[`${path}.asc`] = { body: await sign(aci.bytes) };
      return { ...aci, path, url: `${server.url}${path}` };
    },
    served: (path) => server.requests.filter(({ method, url }) => method === 'GET' && url === path).length,
  };
}
