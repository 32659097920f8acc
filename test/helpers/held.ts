import { once } from 'node:events';

import type { Route } from './serve-route.ts';

export type Held = Route & {
  /** Resolves when the body was asked for. */
  readonly asked: Promise<void>;
  /** Resolves when a connection ended before its body did. */
  readonly cut: Promise<void>;
  /** Sends what was held back; requests that come later get the whole body. */
  release(this: void): void;
  /** Sends as much of something else. */
  spoil(this: void): void;
};

/** A body of which the server keeps all behind the first `bytes` until it is told: more than 1 MiB lets an ingest begin. */
export function held(body: Buffer, bytes = 1_500_000): Held {
  const asked = Promise.withResolvers<void>();
  const cut = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<Uint8Array>();
  let isReleased = false;
  return {
    etag: '"1"',
    asked: asked.promise,
    cut: cut.promise,
    release() {
      isReleased = true;
      rest.resolve(body.subarray(bytes));
    },
    spoil: () => rest.resolve(Buffer.alloc(body.length - bytes, 7)),
    async handler(request, response) {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const length = body.length;
      response.writeHead(start > 0 ? 206 : 200, {
        etag: '"1"',
        'content-length': length - start,
        ...(start > 0 && { 'content-range': `bytes ${start}-${length - 1}/${length}` }),
      });
      response.on('close', () => response.writableEnded || cut.resolve());
      if (isReleased) {
        response.end(body.subarray(start));
        return;
      }
      response.write(body.subarray(start, bytes));
      asked.resolve();
      await Promise.race([rest.promise, once(response, 'close')]);
      if (!response.destroyed) response.end(await rest.promise);
    },
  };
}
