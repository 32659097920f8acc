import type { ImageReference } from '../image/reference.ts';
import { lazy } from '../system/single-flight.ts';
import { planByFile, planByName, planByUrl } from './archive/plan.ts';
import { contextFor, type FetchContext, type FetchRequest } from './context.ts';
import { findById } from './fetch.ts';
import type { Planned } from './found.ts';
import { heldBy, nameInLock, pinnedBy } from './lock.ts';

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
  const asked = held ? { ...request, pin: pinnedBy(held, pin) } : request;
  switch (reference.kind) {
    case 'file':
      return planByFile(context, { ...asked, reference }, signal);
    case 'id': {
      const { image, signedBy } = await findById(context, { ...asked, reference }, signal);
      return { status: 'present', image, ...(signedBy && { signedBy }) };
    }
    case 'name':
      return planByName(context, { ...asked, reference }, signal);
    case 'url':
      return planByUrl(context, { ...asked, reference }, signal);
  }
}
