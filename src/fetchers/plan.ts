import type { ImageReference } from '../image/reference.ts';
import { planByFile, planByName, planByUrl } from './archive/plan.ts';
import { contextFor, type FetchContext, type FetchRequest } from './context.ts';
import { findById } from './fetch.ts';
import type { Planned } from './found.ts';

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
  const { reference } = request;
  switch (reference.kind) {
    case 'file':
      return planByFile(context, { ...request, reference }, signal);
    case 'id': {
      const { image } = await findById(context, { ...request, reference }, signal);
      return { status: 'present', image };
    }
    case 'name':
      return planByName(context, { ...request, reference }, signal);
    case 'url':
      return planByUrl(context, { ...request, reference }, signal);
    case 'registry': {
      const { planByRegistry } = await import('./registry/plan.ts'); // not loaded without registry images
      return planByRegistry(context, { ...request, reference }, signal);
    }
  }
}
