import { ImageError } from '../errors.ts';
import { matchLabels } from '../image/labels.ts';
import { parseReference, type ImageReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import type { Store, StoredImage } from '../store/store.ts';

/**
 * The one image that an IMAGE argument means: an ID or a unique prefix of one, a name with optional labels (the best
 * match; no os or arch is added), or the URL it was fetched from.
 *
 * @throws REFERENCE_INVALID, NOT_IN_STORE, ID_AMBIGUOUS, ID_TOO_SHORT
 */
export async function resolveImage(store: Store, asked: string): Promise<StoredImage> {
  const image = await lookUp(store, asked);
  if (!image) throw notInStore(asked);
  return image;
}

/** As resolveImage, but a name means every image that has it and the labels given with it. Never empty. */
export async function resolveImages(store: Store, asked: string): Promise<readonly StoredImage[]> {
  const reference = parse(asked);
  if (reference.kind !== 'name') return [await resolveImage(store, asked)];
  const images = (await store.imagesNamed(reference.name)).filter((image) =>
    matchLabels(reference.labels, image.labels),
  );
  if (images.length === 0) throw notInStore(asked);
  return images;
}

async function lookUp(store: Store, asked: string): Promise<StoredImage | undefined> {
  const reference = parse(asked);
  switch (reference.kind) {
    case 'id':
      return store.getImage(await store.resolveId(reference.prefix));
    case 'name':
      return store.findImage(reference.name, reference.labels);
    case 'url': {
      const remote = await store.getRemote(reference.url);
      return remote && store.getImage(remote.imageId);
    }
    case 'file':
    case 'registry':
      throw new ImageError('REFERENCE_INVALID', 'images of the store are asked for by ID, name or URL', {
        input: asked,
      });
  }
}

/** A file of the working directory is not what is meant here, so none is looked for. */
function parse(asked: string): ImageReference {
  return parseReference(asked, { type: 'guess', directory: '/', isFile: () => false });
}

function notInStore(asked: string): ImageError {
  return new ImageError('NOT_IN_STORE', `no image of the store is ${show(asked)}`, { asked });
}
