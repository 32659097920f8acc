import type { NodePlatform } from '../image/default-labels.ts';
import type { StoredImage } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { extractLayers, type ExtractionReport, type ExtractionRequest } from './extract-layers.ts';
import { flatten } from './flatten.ts';

export type RenderRequest = ExtractionRequest & { readonly image: StoredImage; readonly platform: NodePlatform };

/**
 * Writes an image over all that it depends on into a directory, as it would be run: every pathWhitelist applies, and the
 * manifest is the image's own. Dependencies come from the store alone.
 *
 * @throws as extractImage; NOT_IN_STORE and DEPENDENCY_CYCLE, before anything is written.
 * @see flatten for the order
 */
export async function renderImage(
  context: ImagesContext,
  { image, platform, ...request }: RenderRequest,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  const layers = await flatten(context.store, image, { limits: request.limits, platform });
  return extractLayers(context, layers, request, signal);
}
