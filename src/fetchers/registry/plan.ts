import { registryLabels } from '../../image/platform.ts';
import { registryImageName, type RegistryReference } from '../../image/registry-reference.ts';
import { type ResolvedImage, resolveImage } from '../../registry/resolve.ts';
import { type FetchContext, type FetchRequest, observing } from '../context.ts';
import type { Planned } from '../found.ts';
import { hasBlob } from '../stored.ts';
import { notKept } from './fetch.ts';
import { type WantedOfRegistry, wantedOfRegistry } from './image.ts';
import { openSignatureCheck } from './signatures.ts';
import { imageOf, isMoved, lookUpKept } from './stored.ts';

/** What a fetch of a registry's image would bring, by what index and manifest say. @returns that of the first platform */
export async function planRegistry(
  context: FetchContext,
  request: FetchRequest<RegistryReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const [first, ...others] = wantedOfRegistry(context.registries.platforms, request);
  let planned = await planWanted(context, first, signal);
  for (const wanted of others) {
    const other = await planWanted(context, wanted, signal);
    if (other.status === 'present') continue;
    planned = planned.status === 'present' ? other : { ...planned, ...bytesOf([...planned.parts, ...other.parts]) };
  }
  return planned;
}

type Present = Extract<Planned, { status: 'present' }>;
type Absent = Extract<Planned, { status: 'absent' }> & { readonly parts: ReadonlyMap<string, number> };

async function planWanted(
  context: FetchContext,
  wanted: WantedOfRegistry,
  signal: AbortSignal,
): Promise<Present | Absent> {
  const { policy, slots, registries } = context;
  const { key, platform, reference, source, url } = wanted;
  const known = await lookUpKept(context, wanted, context.nowMs(), signal);
  if (known && (policy !== 'update' || !(await isMoved(context, wanted, known, signal)))) {
    return { status: 'present', image: imageOf(context, wanted, known) };
  }
  if (policy === 'never') return notKept(wanted);
  const verify = await openSignatureCheck(context, wanted);
  const client = await registries.client();
  const resolved = await slots.run(reference.host, signal, (slot) =>
    resolveImage(client, reference, { platform, observer: observing({ ...context, slot }, key) }, signal),
  );
  const verified = await verify(resolved, signal);
  return {
    status: 'absent',
    url,
    source,
    digest: resolved.manifest.digest,
    ...bytesOf(await missingParts(context, resolved, signal)),
    ...(verified && { signature: verified.location }),
    manifest: {
      name: registryImageName(reference),
      labels: registryLabels(reference, platform),
      dependencies: [],
    },
  };
}

/** What is there of a partial download need not come again. */
async function missingParts(
  context: FetchContext,
  { config, layers }: ResolvedImage,
  signal: AbortSignal,
): Promise<readonly (readonly [string, number])[]> {
  const missing: [string, number][] = [];
  for (const { digest, size } of [config, ...layers]) {
    if (await hasBlob(context, { digest, size }, signal)) continue;
    const partial = await context.store.peekPartial(digest);
    missing.push([digest, Math.max(0, size - (partial?.bytes ?? 0))]);
  }
  return missing;
}

/** Each part once. */
function bytesOf(all: readonly (readonly [string, number])[]): Pick<Absent, 'parts' | 'bytesToFetch'> {
  const parts = new Map(all);
  return { parts, bytesToFetch: parts.values().reduce((sum, bytes) => sum + bytes, 0) };
}
