import { currentDigest } from '../registry/documents.ts';
import type { FetchContext } from './context.ts';
import { present, type Found } from './found.ts';
import { observing } from './observing.ts';
import { describeRegistryImage } from './registry-image.ts';
import { lookUpRegistryImage, recordOf, type KnownOfRegistry } from './registry-known.ts';
import type { WantedOfRegistry } from './registry-wanted.ts';

export type StoreQuestion = {
  /** When the fetch began: what has come since is young. */
  readonly sinceMs: number;
  /** The registry may be asked what a tag stands for now. */
  readonly mayAsk: boolean;
};

/** What the store says by itself or, for a tag under the policy `update`, once the registry says that it has not moved. */
export async function answerFromStore(
  context: FetchContext,
  wanted: WantedOfRegistry,
  question: StoreQuestion,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const known = await lookUpKept(context, wanted, question.sinceMs, signal);
  if (!known || !(await isCurrent(context, wanted, known, question, signal))) return undefined;
  const image = imageOf(context, wanted, known);
  if (wanted.locked !== undefined && image.digest !== wanted.locked && context.policy !== 'never') return undefined;
  const { store } = context;
  if (known.aci) store.touch(known.aci.imageId);
  if (known.oci) store.touchRegistryImage(known.oci.reference);
  return present(image);
}

/** What is known of a reference, if it is all that is to be kept. */
export async function lookUpKept(
  context: FetchContext,
  wanted: WantedOfRegistry,
  sinceMs: number,
  signal: AbortSignal,
): Promise<KnownOfRegistry | undefined> {
  const known = await lookUpRegistryImage(context, wanted, signal);
  if (!known || (context.noCache && known.checkedAtMs < sinceMs)) return undefined;
  return isAllKept(context, known) ? known : undefined;
}

/** Whether the store may answer with what is known; asks the registry, if the policy says so, and notes its answer. */
async function isCurrent(
  context: FetchContext,
  wanted: WantedOfRegistry,
  known: KnownOfRegistry,
  { sinceMs, mayAsk }: StoreQuestion,
  signal: AbortSignal,
): Promise<boolean> {
  const isPinned = wanted.reference.digest !== undefined || wanted.locked !== undefined;
  if (context.policy !== 'update' || isPinned || known.checkedAtMs >= sinceMs) return true;
  if (!mayAsk || (await isMoved(context, wanted, known, signal))) return false;
  const { aci, digest } = known;
  if (aci) await context.store.putRemote(wanted.url, recordOf(aci.imageId, digest, context.nowMs()));
  return true;
}

/** Whether a tag stands for something else by now; a digest never does. */
export async function isMoved(
  context: FetchContext,
  { key, reference }: WantedOfRegistry,
  { digest }: KnownOfRegistry,
  signal: AbortSignal,
): Promise<boolean> {
  const { host, tag } = reference;
  if (reference.digest !== undefined || tag === undefined) return false;
  const client = await context.registries.client();
  const now = await context.slots.run(host, signal, (slot) =>
    currentDigest(client, reference, tag, observing({ ...context, slot }, key), signal),
  );
  return now !== digest;
}

export function imageOf({ registries }: FetchContext, { reference }: WantedOfRegistry, { aci, oci }: KnownOfRegistry) {
  const image = registries.keep === 'oci' || !aci ? oci && describeRegistryImage(reference, oci) : aci;
  if (!image) throw new Error('something is known of the image, but neither form of it');
  return image;
}

/** Where the network is not asked, either form will do. */
function isAllKept({ registries, policy }: FetchContext, { aci, oci }: KnownOfRegistry): boolean {
  switch (registries.keep) {
    case 'aci':
      return aci !== undefined;
    case 'oci':
      return oci !== undefined;
    case 'both':
      return policy === 'never' || (aci !== undefined && oci !== undefined);
  }
}
