import type { Store } from '../store/store.ts';
import type { Entry } from './entry.ts';
import { askedDocument } from './find-registry-images.ts';
import { readDocument } from './registry-document.ts';

/** `asked`: of a registry's image, an index or a derived manifest may be meant by its digest. `pretty` indents with tabs. */
export type CatManifestOptions = { readonly asked?: string; readonly pretty?: boolean };

/** The manifest's JSON text as it stood in the archive, or as the registry served it. */
export async function catManifest(
  store: Store,
  entry: Entry,
  { asked = entry.id, pretty = false }: CatManifestOptions = {},
): Promise<string> {
  const text =
    entry.kind === 'image'
      ? await store.manifest(entry.id)
      : (await readDocument(store, await askedDocument(store, asked, entry.image))).toString();
  return pretty ? JSON.stringify(JSON.parse(text), undefined, '\t') : text;
}
