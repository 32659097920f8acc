import { signatureUrl } from '../image/apps.ts';
import type { ImageReference } from '../image/reference.ts';
import { planFile } from './archive/by-file.ts';
import { firstEndpoint, resolveName } from './archive/by-name.ts';
import { throwNotInStore } from './archive/by-url.ts';
import { planRemote } from './archive/plan-remote.ts';
import { findById } from './by-id.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import type { Planned } from './found.ts';

/**
 * Finds out what a fetch of one image would do. It reads the store and asks servers, but downloads no image and changes nothing.
 *
 * @param context - one of asReadOnly.
 * @throws the errors of the fetch that can be found in advance.
 */
export async function planImage(
  context: FetchContext,
  request: FetchRequest<ImageReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const { key, reference, signature } = request;
  switch (reference.kind) {
    case 'file':
      return planFile(context, { ...request, reference }, signal);
    case 'id': {
      const { image } = await findById(context, { ...request, reference }, signal);
      return { status: 'present', image };
    }
    case 'name': {
      const resolved = await resolveName(context, { ...request, reference }, signal);
      if (resolved.kind === 'stored') return { status: 'present', image: resolved.image };
      const { wanted: expected, endpoints } = resolved;
      return firstEndpoint(
        context,
        { key, expected, endpoints, signature },
        (url, source) => planRemote(context, { key, url, signature: source, expected }, signal),
        signal,
      );
    }
    case 'url': {
      const { url } = reference;
      const source =
        signature === undefined
          ? { kind: 'url' as const, url: signatureUrl(url) }
          : { kind: 'file' as const, path: signature, isNamed: true };
      const remote = { key, url, signature: source, expected: {} };
      return (await planRemote(context, remote, signal)) ?? throwNotInStore(url);
    }
    case 'registry': {
      const { planRegistry } = await import('./registry/plan.ts'); // not loaded without registry images
      return planRegistry(context, { ...request, reference }, signal);
    }
  }
}
