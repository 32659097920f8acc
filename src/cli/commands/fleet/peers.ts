import { createHmac, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';

import type { Archives } from '../../../fleet/archives.ts';
import type { Batch } from '../../../fleet/batch.ts';
import type { BatchClaims } from '../../../fleet/blob-claims.ts';
import type { Copying, ImageSharing } from '../../../fleet/bring.ts';
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
  parseDestination,
  type PeerLookup,
  show,
  targetOf,
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

type Shared = ImageSharing & { readonly sharing: NonNullable<ImageSharing['sharing']> };

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

/** What belongs to an image, in a registry. */
const named = /^(?:blobs|manifests)\/(sha256:[0-9a-f]{64})$/;

const refreshMs = 2_000;
/** So many peers are asked for content before the registry is. */
const most = 2;

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
      const known = holders.get(named.exec(path)?.[1] ?? '') ?? [];
      const names = known.flat();
      const some = names.length > 0 ? names.flatMap((name) => byWorker.get(name) ?? []) : origins;
      const isLastResort = names.length > 0 && known.every((workers) => workers.length > 0);
      const start = Math.floor(Math.random() * Math.max(1, some.length));
      const chosen = new Set([...some.slice(start), ...some.slice(0, start)].slice(0, most));
      return Array.from(chosen, (origin) => ({
        host: new URL(origin).host,
        repository: `${host}/${repository}`,
        origin,
        ...(isLastResort && { isLastResort }),
      }));
    },
    archives(digest) {
      const known = (holders.get(digest) ?? []).filter((names) => names.length > 0);
      // who has brought it has kept it; who has copied it may have had the image already, without its archive
      const some = known.flatMap(([, ...copiers]) => copiers);
      const start = Math.floor(Math.random() * Math.max(1, some.length));
      const few = [...some.slice(start), ...some.slice(0, start)].slice(0, most);
      const names = new Set([...few, ...known.flatMap(([first = '']) => first)]);
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

/**
 * Claims the blobs of images before they are brought, and in a batch for everywhere archives too, by their URLs: what another worker has
 * brought from one comes from there.
 */
export function sharingBy(
  batch: Batch,
  claims: BatchClaims,
  peers: Peers | undefined,
  archives: Archives | undefined,
): () => ImageSharing {
  return () => {
    const claimed = claims.image();
    const image = { ...claimed, ...withRegistry(claimed, peers) };
    if (!peers || !archives || batch.use !== 'everywhere') return image;
    const ends: ((isDelivered: boolean) => Promise<void>)[] = [image.end];
    return {
      sharing: {
        ...image.sharing,
        async beginArchive(url, signal) {
          const claim = await image.beginArchive(url, signal);
          const given = claim.isGiven ? await archives.at(batch, url) : undefined;
          if (given?.image.digest !== undefined) ends.push(peers.share([given.worker], [given.image.digest]).end);
          let isNoted = false;
          return {
            brought: given?.image,
            async have(one) {
              if (!claim.isGiven) isNoted = await archives.note(batch, url, one);
            },
            [Symbol.asyncDispose]: () => claim.end(isNoted),
          };
        },
      },
      end: async (isDelivered) => void (await Promise.all(ends.map((end) => end(isDelivered)))),
    };
  };
}

/** The blobs of an image that this worker claims: who else needs one of them may ask the registry, too. */
function withRegistry(claimed: Shared, peers: Peers | undefined): Shared {
  const shared = peers?.share([], []);
  if (!shared) return claimed;
  return {
    sharing: {
      ...claimed.sharing,
      async begin(...image) {
        await shared.sharing.begin(...image);
        return claimed.sharing.begin(...image);
      },
    },
    async end(isDelivered) {
      await shared.end(isDelivered);
      await claimed.end(isDelivered);
    },
  };
}

/** How copies are got. They have claims of their own: what the images of a batch have claimed was delivered by workers that may be gone. */
export function copyingBy(peers: Peers, claims: BatchClaims): Copying {
  return {
    fromWorkers: async (workers, documents) =>
      (await peers.isThere(workers)) ? peers.share(workers, documents) : undefined,
    fromAnywhere: () => withRegistry(claims.image(), peers),
  };
}

/** Asks where a blob was delivered, if that is known, and else whoever may have it. */
export function lookupBy(
  batch: Batch,
  claims: readonly (BatchClaims | undefined)[],
  peers: Peers | undefined,
): PeerLookup {
  const { to, scoped } = batch;
  const target = to === undefined ? undefined : parseDestination(to, 'to');
  const placeOf = (digest: string) => claims.map((one) => one?.placeOf(digest)).find((place) => place !== undefined);
  return (content) => {
    const place = content.path.startsWith('blobs/') ? placeOf(named.exec(content.path)?.[1] ?? '') : undefined;
    const others = peers?.lookup(content) ?? [];
    if (!place) return others;
    const name = `${place.host}/${place.repository}`;
    if (place.isPushed && target) {
      const { host, repository } = targetOf(name, target, scoped);
      return [{ host, repository }, ...others];
    }
    const origin = peers?.originOf(place.worker);
    if (origin === undefined) return others;
    const { host } = new URL(origin);
    return [{ host, repository: name, origin }, ...others.filter((one) => one.origin !== origin)];
  };
}
