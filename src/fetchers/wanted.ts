import { defaultLabels } from '../image/default-labels.ts';
import type { NameReference } from '../image/reference.ts';
import { findExpected, type ByName } from '../store/find-expected.ts';
import type { StoredImage } from '../store/store.ts';
import type { FetchContext, Pin } from './context.ts';
import { takeUsable } from './usable.ts';

/** A name as it is looked for: what was asked for, and os and arch where it left them out. */
export type Wanted = ByName & Required<Pick<ByName, 'defaults'>>;

export function wantedOf({ platform }: FetchContext, { name, labels }: NameReference, pin: Pin = {}): Wanted {
  const all = defaultLabels(labels, platform);
  const defaults = new Map([...all].filter(([label]) => !labels.has(label)));
  return { name, labels, defaults, ...pin };
}

/** The store's answer to a name: a pinned image by its ID, else the best of that name. @see rkt-surroundings S30-S34, D24 */
export async function findStored(
  context: FetchContext,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<StoredImage | undefined> {
  return takeUsable(context, await findExpected(context.store, wanted), signal);
}
