import { setTimeout as sleep } from 'node:timers/promises';

import { startServer, type Teardown, type TestServer } from './server.ts';

export type BusyHostOptions = {
  /** The bytes of every image. */
  readonly image: Uint8Array;
  /** The requests that it answers at a time; it answers 429 to others. */
  readonly accepts: number;
  /** How long each answer takes. */
  readonly answerMs: number;
};

export type BusyHost = TestServer & {
  /** Each request, when it came. */
  readonly asked: readonly Asked[];
  /** URLs of images, which are all the same. */
  urls(this: void, count: number): readonly string[];
};

export type Asked = {
  readonly atMs: number;
  readonly isRefused: boolean;
  /** With this one. */ readonly inFlight: number;
};

/** A host that answers so many requests at a time. */
export async function startBusyHost(t: Teardown, { image, accepts, answerMs }: BusyHostOptions): Promise<BusyHost> {
  const server = await startServer(t, {});
  const asked: Asked[] = [];
  let inFlight = 0;
  return {
    ...server,
    asked,
    urls: (count) =>
      Array.from({ length: count }, (_, at) => {
        server.routes[`/${at}.aci`] = {
          async handler(_, response) {
            const isRefused = inFlight >= accepts;
            asked.push({ atMs: performance.now(), isRefused, inFlight: inFlight + 1 });
            if (isRefused) {
              response.writeHead(429).end();
              return;
            }
            inFlight += 1;
            response.once('close', () => (inFlight -= 1));
            await sleep(answerMs, undefined, { ref: false });
            response.writeHead(200, { 'content-length': image.byteLength }).end(image);
          },
        };
        return `${server.url}/${at}.aci`;
      }),
  };
}
