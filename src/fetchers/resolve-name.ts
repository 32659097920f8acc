import { ImageError } from '../errors.ts';
import { discoverEndpoints } from '../discovery/discover.ts';
import type { Endpoint } from '../discovery/template.ts';
import { formatReference, type NameReference } from '../image/reference.ts';
import type { StoredImage } from '../store/store.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { discovering } from './discovering.ts';
import { findStored, wantedOf, type Wanted } from './wanted.ts';

/** The store's image of a name, or where else it may be. */
export type ResolvedName =
  | { readonly kind: 'stored'; readonly image: StoredImage }
  | { readonly kind: 'elsewhere'; readonly wanted: Wanted; readonly endpoints: readonly Endpoint[] };

/**
 * Asks the store where the policy allows, then discovery.
 *
 * @throws NOT_IN_STORE under the policy `never`, and as discoverEndpoints. @see docs/rules.md D
 */
export async function resolveName(
  context: FetchContext,
  { key, reference, pin }: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<ResolvedName> {
  const wanted = wantedOf(context, reference, pin);
  const isPinned = wanted.imageId !== undefined;
  const image = context.policy !== 'update' || isPinned ? await findStored(context, wanted, signal) : undefined;
  if (image) return { kind: 'stored', image };
  if (context.policy === 'never') {
    throw new ImageError('NOT_IN_STORE', 'the store has no such image, and the network is not asked', {
      asked: formatReference(reference),
    });
  }
  const { name, labels, defaults } = wanted;
  const asked = new Map([...labels, ...defaults]);
  const endpoints = await discoverEndpoints(discovering(context, key), name, asked, signal);
  return { kind: 'elsewhere', wanted, endpoints };
}
