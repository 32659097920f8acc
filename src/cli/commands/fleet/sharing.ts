import type { Archives } from '../../../fleet/archives.ts';
import type { Batch } from '../../../fleet/batch.ts';
import type { BatchClaims } from '../../../fleet/blob-claims.ts';
import type { Copying, ImageSharing } from '../../../fleet/bring.ts';
import { parseDestination, type PeerLookup, targetOf } from '../../../internal.ts';
import { digestOfPath, type Peers, type Shared } from './peers.ts';

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
    const place = content.path.startsWith('blobs/') ? placeOf(digestOfPath(content.path)) : undefined;
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
