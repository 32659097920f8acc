import { noPlatform, registryLabels } from '../../image/platform.ts';
import { registryImageName, type RegistryReference } from '../../image/registry-reference.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { WholeIndex } from '../../registry/resolve-whole.ts';
import type { Descriptor } from '../../registry/types.ts';
import type { FetchContext, FetchRequest } from '../context.ts';
import type { Planned } from '../found.ts';
import { hasBlob, withSigners } from '../stored.ts';
import { asOne, throwNotInStore } from './fetch.ts';
import { type WantedImage, wantedImages } from './image.ts';
import { checkDigests, checkLocked, heldImage, isOtherThan, lockedDigests } from './locked.ts';
import { findReferrers } from './referrers.ts';
import { withResolved } from './resolution.ts';
import { openSignatureCheck } from './signatures.ts';
import { hasTagMoved, imageOf, keptOf, lookUpKept } from './stored.ts';

/** Plans the fetch of a registry image by its index and manifest. @returns the plan for the first platform; ID and digest are as in fetchByRegistry */
export async function planByRegistry(
  context: FetchContext,
  request: FetchRequest<RegistryReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const held = heldImage(context, request.reference);
  const [first, ...others] = wantedImages(context.registries, request);
  const plan = (wanted: WantedImage): Promise<Present | Absent> =>
    planWanted(context, { ...wanted, locked: lockedDigests(context, held, wanted.platform, undefined) }, signal);
  let planned = await plan(first);
  const present = planned.status === 'present' ? [planned.image] : [];
  for (const wanted of others) {
    const other = await plan(wanted);
    if (other.status === 'present') {
      present.push(other.image);
      continue;
    }
    planned = planned.status === 'present' ? other : { ...planned, ...together(planned, other) };
  }
  return planned.status === 'present' ? { ...planned, image: asOne(planned.image, present) } : planned;
}

type Present = Extract<Planned, { status: 'present' }>;
type Absent = Extract<Planned, { status: 'absent' }> & { readonly parts: ReadonlyMap<string, number> };

async function planWanted(context: FetchContext, wanted: WantedImage, signal: AbortSignal): Promise<Present | Absent> {
  const { policy, registries } = context;
  const { platform, reference, source, url, locked } = wanted;
  const known = await lookUpKept(context, wanted, context.nowMs(), signal);
  const image = known && imageOf(context, wanted, known);
  const isOther = image && isOtherThan(locked, { root: known.digest, manifest: image.digest });
  const mayHaveMoved = policy === 'update' && locked === undefined;
  const isUsed = !isOther || policy === 'never';
  if (image && isUsed && !(mayHaveMoved && (await hasTagMoved(context, wanted, known, signal)))) {
    const present = await withSigners(context, { status: 'present' as const, image }, keptOf(context, wanted, known));
    checkLocked(context, locked, { ...present, root: known.digest });
    return present;
  }
  if (policy === 'never') return throwNotInStore(wanted);
  const check = await openSignatureCheck(context, wanted);
  const client = await registries.client();
  const planResolved = async (resolved: ResolvedImage | WholeIndex): Promise<Absent> => {
    checkDigests(locked, { root: resolved.digest, manifest: resolved.manifest.digest });
    const verified = await check.verify(resolved, signal);
    const found = await findReferrers(context, { client, resolved, wanted }, signal);
    return {
      status: 'absent',
      url,
      source,
      digest: registries.keep === 'oci' && registries.platforms.length > 1 ? resolved.digest : resolved.manifest.digest,
      ...(await partsOf(context, resolved, found?.attached.blobs ?? [], signal)),
      ...(verified?.location !== undefined && { signature: verified.location }),
      manifest: {
        name: registryImageName(reference),
        labels: registryLabels(reference, platform === 'all' ? noPlatform : platform),
        dependencies: [],
      },
    };
  };
  return withResolved(context, { client, wanted }, planResolved, signal);
}

/** The blobs that the store does not have, with the bytes to download, those of partial downloads subtracted; and what is made of them. */
async function partsOf(
  context: FetchContext,
  resolved: ResolvedImage | WholeIndex,
  attached: readonly Descriptor[],
  signal: AbortSignal,
): Promise<Pick<Absent, 'parts' | 'bytesToFetch' | 'bytesInStore' | 'archive'>> {
  const missing: [string, number][] = [];
  let bytesInStore = 0;
  const blobs = 'documents' in resolved ? resolved.blobs : [resolved.config, ...resolved.layers];
  for (const { digest, size } of new Map([...blobs, ...attached].map((blob) => [blob.digest, blob])).values()) {
    if (await hasBlob(context, { digest, size }, signal)) {
      bytesInStore += size;
      continue;
    }
    const partial = await context.store.peekPartial(digest);
    missing.push([digest, Math.max(0, size - (partial?.bytes ?? 0))]);
  }
  const { keep } = context.registries;
  const parts = bytesOf(missing);
  if (keep === 'oci' || 'documents' in resolved) return { ...parts, bytesInStore };
  const leastBytes = resolved.layers.reduce((sum, { size }) => sum + size, 0);
  const isAlone = keep === 'aci';
  const temporaryBytes = leastBytes + (isAlone ? parts.bytesToFetch : 0); // unpacked layers, of which it is made
  return { ...parts, bytesInStore, archive: { leastBytes, isKnown: false, temporaryBytes, isAlone } };
}

/** Counts each part once. */
function bytesOf(
  all: readonly (readonly [string, number])[],
): Pick<Absent, 'parts'> & { readonly bytesToFetch: number } {
  const parts = new Map(all);
  return { parts, bytesToFetch: parts.values().reduce((sum, bytes) => sum + bytes, 0) };
}

function together(one: Absent, other: Absent): Pick<Absent, 'parts' | 'bytesToFetch' | 'bytesInStore' | 'archive'> {
  const archives = [one.archive, other.archive].flatMap((archive) => archive ?? []);
  const [first] = archives;
  return {
    ...bytesOf([...one.parts, ...other.parts]),
    bytesInStore: (one.bytesInStore ?? 0) + (other.bytesInStore ?? 0),
    ...(first && {
      archive: {
        ...first,
        leastBytes: archives.reduce((sum, { leastBytes }) => sum + leastBytes, 0),
        temporaryBytes: Math.max(...archives.map(({ temporaryBytes }) => temporaryBytes)), // one after the other
      },
    }),
  };
}
