import { createHmac, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';

import type { ImageSharing } from '../../../fleet/bring.ts';
import type { Ledger } from '../../../fleet/ledger.ts';
import { openPresences } from '../../../fleet/result.ts';
import {
  type AcceptedKeys,
  type ActionOptions,
  type ArchivePeerLookup,
  type Digest,
  isImageError,
  isLoopbackName,
  openPool,
  openStore,
  show,
} from '../../../internal.ts';
import { followStore } from '../../../serve/current-store.ts';
import { startServer } from '../../../serve/serve.ts';
import { readNamed } from '../../../system/files.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { textOf, valueOf } from '../../options/read.ts';
import { readVersion } from '../../version.ts';
import { keyWarnings, parseListen, readTls } from '../serve/serve.ts';

/** How this worker gives to the others what it has, and how it logs in to them. */
export type PeerOptions = {
  /** The password of the user `fleet`; undefined if this worker neither serves nor asks. */
  readonly password: string | undefined;
  /** Whether this worker serves its store to others. */
  readonly serves: boolean;
  readonly serve: (
    resources: AsyncDisposableStack,
    dir: string,
    onWarning: (message: string) => void,
  ) => Promise<string | undefined>;
};

const user = 'fleet';
const leastSecret = 32;
const mostSecret = 64 * 1024;
/** What is asked for when this worker ends has so long. */
const graceMs = 5_000;

/** What `--listen`, `--advertise` and `--peer-secret` ask for. @throws USAGE before anything is opened */
export async function readPeerOptions(line: CommandLine, hasWorkers: boolean): Promise<PeerOptions> {
  const listen = valueOf(line, 'listen', parseListen);
  const advertised = valueOf(line, 'advertise', parseListen);
  const secret = await valueOf(line, 'peer-secret', readSecret);
  const tls = await readTls(line);
  if (listen && !secret) throw usageError('it needs --peer-secret FILE, which all workers have', '--listen');
  if (listen && !tls && !isLoopbackName(listen.host))
    throw usageError('other machines reach it: give --cert and --key too', '--listen');
  if (!listen && advertised) throw usageError('it needs --listen', '--advertise');
  if (!listen && tls) throw usageError('it needs --listen', '--cert');
  if (secret && !hasWorkers)
    throw usageError('say whose addresses are believed, or who would take it: --accept-worker KEY', '--peer-secret');
  const password =
    secret && createHmac('sha256', secret).update('longshore fleet: peers, version 1').digest('base64url');
  return {
    password,
    serves: listen !== undefined,
    async serve(resources, dir, onWarning) {
      if (!listen || password === undefined) return undefined;
      for (const message of await keyWarnings(textOf(line, 'key'))) onWarning(message);
      const hashes = resources.use(openPool({ workers: 1, sessionsPerWorker: 1 }));
      const store = resources.use(
        await followStore(join(dir, 'index.sqlite'), () => openStore({ dir, readOnly: true })),
      );
      const hash = digestOf(password);
      const server = await startServer({
        ...{ store, listen, tls, onWarning, catalog: false, version: readVersion() },
        hosts: advertised ? [advertised.host] : [],
        users: new Map([[user, hash.toString('hex')]]),
        comparePassword: (given) => Promise.resolve(timingSafeEqual(digestOf(given), hash)),
        hashFile: (path) => hashes.run('reHash', { path, algorithm: 'sha256' }),
      });
      resources.defer(async () => void (await server.close(graceMs)));
      if (!advertised) return new URL(server.url).origin;
      const host = advertised.host.includes(':') ? `[${advertised.host}]` : advertised.host;
      return new URL(`${tls ? 'https' : 'http'}://${host}:${advertised.port}`).origin;
    },
  };
}

function digestOf(text: string): Buffer {
  return createHmac('sha256', 'longshore').update(text).digest();
}

/** @throws USAGE */
async function readSecret(path: string, option: string): Promise<Buffer> {
  const secret = await readNamed(path, mostSecret).catch(() => undefined);
  if (!secret) throw usageError(`cannot read "${show(path)}"`, option);
  if (secret.length < leastSecret) throw usageError(`"${show(path)}" has fewer than ${leastSecret} bytes`, option);
  return secret;
}

export type Shared = ImageSharing & { readonly sharing: NonNullable<ImageSharing['sharing']> };

export type Peers = AsyncDisposable & {
  readonly lookup: NonNullable<ActionOptions['peers']>;
  /** Who has kept an archive of an image that is being copied. */
  readonly archives: ArchivePeerLookup;
  /** Looks who is there now. */
  refresh(): Promise<void>;
  /**
   * Has what belongs to an image asked of these workers alone, or if none is named, of anybody and then of its registry. That holds until
   * it is ended, and as long as no other image has the same asked of the registry.
   */
  share(workers: readonly string[], documents: readonly Digest[]): Shared;
  /** Whether one of these workers gives what it has. */
  isThere(workers: readonly string[]): Promise<boolean>;
  /** Where a worker gives what it has. */
  originOf(worker: string): string | undefined;
  /** The password of a host, if it is a peer's. */
  readonly credentials: NonNullable<ActionOptions['registryCredentials']>;
};

/** The digest of what belongs to an image, from its path in a registry; empty if the path names none. */
export function digestOfPath(path: string): string {
  return /^(?:blobs|manifests)\/(sha256:[0-9a-f]{64})$/.exec(path)?.[1] ?? '';
}

const refreshMs = 2_000;
/** So many peers are asked for content before the registry is. */
const most = 2;

/** Some of those that may be asked, from a random one on: else all would ask the first. */
function fewOf(all: readonly string[]): readonly string[] {
  const start = Math.floor(Math.random() * Math.max(1, all.length));
  return [...all.slice(start), ...all.slice(0, start)].slice(0, most);
}

/** Follows which named workers are there, and where they give what they have. */
export async function followPeers(
  ledger: Ledger,
  {
    worker,
    password,
    keys,
    onWarning,
  }: {
    readonly worker: string;
    readonly password: string;
    readonly keys: AcceptedKeys;
    readonly onWarning: (message: string) => void;
  },
): Promise<Peers> {
  let byWorker: ReadonlyMap<string, string> = new Map();
  let origins: readonly string[] = [];
  /** By digest: of each image that is being copied and consists of that, which workers have it. */
  const holders = new Map<string, (readonly string[])[]>();
  const refresh = async (): Promise<void> => {
    const envelopes = await ledger.workers();
    const there = await openPresences(envelopes, keys, Date.now(), (why) =>
      onWarning(`a worker is not believed: ${why}`),
    );
    const found = new Map<string, string>();
    for (const one of there) if (one.worker !== worker && one.origin !== undefined) found.set(one.worker, one.origin);
    byWorker = found;
    origins = [...found.values()];
  };
  const ignore = (error: unknown): void => {
    if (!isImageError(error)) throw error; // the queue says itself that it is away
  };
  await refresh();
  const timer = setInterval(() => void refresh().catch(ignore), refreshMs);
  return {
    lookup({ host, repository, path }) {
      const known = holders.get(digestOfPath(path)) ?? [];
      const names = known.flat();
      const some = names.length > 0 ? names.flatMap((name) => byWorker.get(name) ?? []) : origins;
      const isLastResort = names.length > 0 && known.every((workers) => workers.length > 0);
      return Array.from(new Set(fewOf(some)), (origin) => ({
        host: new URL(origin).host,
        repository: `${host}/${repository}`,
        origin,
        ...(isLastResort && { isLastResort }),
      }));
    },
    archives(digest) {
      const known = (holders.get(digest) ?? []).filter((names) => names.length > 0);
      // who has brought it has kept it; who has copied it may have had the image already, without its archive
      const copiers = fewOf(known.flatMap(([, ...others]) => others));
      const names = new Set([...copiers, ...known.flatMap(([first = '']) => first)]);
      return Array.from(names, (name) => byWorker.get(name))
        .filter((origin) => origin !== undefined)
        .map((origin) => ({ origin, user, password }));
    },
    async isThere(workers) {
      const isThere = () => workers.some((name) => byWorker.has(name));
      if (!isThere()) await refresh().catch(ignore); // they have just begun
      return isThere();
    },
    share(workers, documents) {
      const taken = new Set<string>();
      const take = (digest: string): void => {
        if (taken.has(digest)) return;
        taken.add(digest);
        holders.set(digest, [...(holders.get(digest) ?? []), workers]);
      };
      documents.forEach(take);
      return {
        sharing: {
          begin(_image, blobs) {
            for (const { digest } of blobs) take(digest);
            return Promise.resolve({ mayAsk: () => Promise.resolve() });
          },
        },
        end() {
          for (const digest of taken) {
            const others = holders.get(digest)?.filter((one) => one !== workers) ?? [];
            if (others.length > 0) holders.set(digest, others);
            else holders.delete(digest);
          }
          return Promise.resolve();
        },
      };
    },
    refresh: () => refresh().catch(ignore),
    originOf: (name) => byWorker.get(name),
    credentials: (host) =>
      Promise.resolve(
        origins.some((origin) => new URL(origin).host === host) ? { kind: 'basic', user, password } : undefined,
      ),
    [Symbol.asyncDispose]() {
      clearInterval(timer);
      return Promise.resolve();
    },
  };
}
