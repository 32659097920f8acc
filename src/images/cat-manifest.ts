import type { Store, StoredImage } from '../store/store.ts';

/** The manifest's JSON text as it stood in the archive; `pretty` indents it with tabs. */
export async function catManifest(store: Store, image: StoredImage, { pretty = false } = {}): Promise<string> {
  const text = await store.manifest(image.imageId);
  return pretty ? JSON.stringify(JSON.parse(text), undefined, '\t') : text;
}
