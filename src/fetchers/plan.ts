import type { ImageReference } from '../image/reference.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { lazy } from '../system/single-flight.ts';
import { planByFile, planByName, planByUrl } from './archive/plan.ts';
import { contextFor, type FetchContext, type FetchRequest } from './context.ts';
import { findById } from './fetch.ts';
import type { Planned } from './found.ts';
import { asMismatch, heldBy, nameInLock, pinnedBy } from './lock.ts';

/** Not loaded without registry images. */
const registryModule = lazy(() => import('./registry/plan.ts'));

/**
 * Finds out what a fetch of one image would do. It reads the store and asks servers, but downloads no image and changes nothing.
 *
 * @param shared - a context of asReadOnly.
 * @throws the errors of the fetch that can be found in advance.
 */
export async function planImage(
  shared: FetchContext,
  request: FetchRequest<ImageReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const context = contextFor(shared, request);
  const { reference, pin } = request;
  if (reference.kind === 'registry') {
    const { planByRegistry } = await registryModule();
    return planByRegistry(context, { ...request, reference }, signal);
  }
  const held = heldBy(context.lock, nameInLock(reference, pin));
  const asked = { ...request, reference, ...(held && { pin: pinnedBy(held, pin) }) };
  return planArchive(context, asked, signal).catch((error: unknown) => {
    throw asMismatch(held, error);
  });
}

async function planArchive(
  context: FetchContext,
  request: FetchRequest<Exclude<ImageReference, RegistryReference>>,
  signal: AbortSignal,
): Promise<Planned> {
  const { reference } = request;
  switch (reference.kind) {
    case 'file':
      return planByFile(context, { ...request, reference }, signal);
    case 'id': {
      const { image, signedBy } = await findById(context, { ...request, reference }, signal);
      return { status: 'present', image, ...(signedBy && { signedBy }) };
    }
    case 'name':
      return planByName(context, { ...request, reference }, signal);
    case 'url':
      return planByUrl(context, { ...request, reference }, signal);
  }
}
