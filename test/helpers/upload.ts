import type { ServerResponse } from 'node:http';

import type { ExecutionContext } from 'ava';

import { createTraffic } from '../../src/http/exchange.ts';
import type { Digest } from '../../src/image/digest.ts';
import { createObserver, type PushContext } from '../../src/push/context.ts';
import { uploadBlob } from '../../src/push/upload-blob.ts';
import { startPushTarget, type TargetOptions } from './push-target.ts';
import { openTestClient } from './registry-client.ts';
import { openRegistryFetching } from './registry-fetching.ts';
import { sharedPool } from './shared-pool.ts';

export const signal = AbortSignal.timeout(600_000);
/** Of the blob that is uploaded. */
export const size = 1_000_000;
export const content = Buffer.from(Array.from({ length: size }, (_, at) => (at * 7919) % 251));
export const chunkBytes = 256 * 1024;

const pacing = {
  onConnection: () => () => undefined,
  onWaiting: () => undefined,
  onAnswer: () => undefined,
  onRefused: () => false,
  onCut: () => undefined,
  onBytes: () => undefined,
  pause: (wait: () => Promise<void>) => wait(),
};

/** A store with a blob, of a million bytes by default, and what uploads it to a registry. */
export async function openUpload(t: ExecutionContext, options: TargetOptions = {}, retries = 4, bytes = content) {
  const { registry, reference, fetch, store } = await openRegistryFetching(t, { keep: 'oci' });
  const [blob] = registry.putImage('app', '1', { layers: [bytes] }).manifest.layers;
  await fetch(reference('app:1'));
  const digest = blob?.digest as Digest;
  const target = await startPushTarget(t, options);
  let hashed = 0;
  const http = { retries, ...(target.ca !== '' && { ca: [target.ca] }) };
  const context: PushContext = {
    store,
    client: openTestClient(t, { http }),
    slots: { run: (_, __, work) => work(pacing), runFirst: (_, __, work) => work(pacing) },
    hashFile(path) {
      hashed += 1;
      return sharedPool.run('reHash', { path, algorithm: 'sha256' });
    },
    concurrency: { jobs: 1, jobsPerHost: 1 },
    retryAfterMs: 300_000,
    onEvent: () => undefined,
    tally: { requests: 0, retries: 0 },
    traffic: createTraffic(),
    nowMs: Date.now,
  };
  const step = { place: { host: target.host, repository: 'app' }, observer: createObserver(context, '0', pacing) };
  let sent = 0;
  const chunking = { isRefused: false };
  return {
    ...{ target, store, digest, context },
    sent: () => sent,
    hashed: () => hashed,
    stored: () => target.blobs.get(`app@${digest}`)?.equals(bytes) ?? false,
    upload: (asked: { readonly chunkBytes?: number } = {}) =>
      uploadBlob(
        context,
        step,
        {
          ...{ blob: { digest, size: bytes.length }, session: undefined, chunking },
          onBytes: (bytes) => (sent += bytes),
          ...asked,
        },
        signal,
      ),
  };
}

export const answered = (
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
  body = '',
): true => {
  response.writeHead(status, headers).end(body);
  return true;
};
