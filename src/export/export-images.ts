import type { Writable } from 'node:stream';

import type { ImagesContext } from '../images/check-blob.ts';
import type { FileTarget } from '../images/write-file.ts';
import type { TreeTarget } from '../images/write-tree.ts';
import { bundleContents, type OtherSide } from './bundle-contents.ts';
import { type Contents, dockerContents, ociContents } from './contents.ts';
import type { Selection } from './select.ts';
import { type Compression, writeArchiveFile, writeArchiveStream } from './write-archive.ts';

/** Formats of several images. @see OCI image-spec, image-layout.md; docker save; docs/bundle.md */
export type ManyFormat = 'oci-archive' | 'docker-archive' | 'bundle';

/** Where an export goes: a directory becomes an OCI image layout, with what a bundle has besides, if it is one. */
type ExportTarget =
  | ({ readonly kind: 'file'; readonly compress?: Compression | undefined } & FileTarget)
  | { readonly kind: 'stream'; readonly compress?: Compression | undefined; readonly output: Writable }
  | ({ readonly kind: 'directory' } & TreeTarget);

export type ManyExport = {
  readonly selection: Selection;
  /** Default bundle if there are archives (ACIs) or something is left out, else oci-archive. */
  readonly format?: ManyFormat | undefined;
  /** What the receiver has, which a bundle leaves out. */
  readonly other?: OtherSide | undefined;
  readonly target: ExportTarget;
};

/**
 * Writes images. The same ones make the same bytes.
 *
 * @returns what the format cannot express. @throws STORE_CORRUPT when a blob is damaged; as writeArchiveFile and writeLayout
 */
export async function exportImages(
  context: ImagesContext,
  request: ManyExport,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { selection, target } = request;
  const { files, warnings } = await contentsOf(context, request, signal);
  for (const { reference } of selection.images) context.store.touchRegistryImage(reference);
  for (const { imageId } of selection.archives) context.store.touch(imageId);
  switch (target.kind) {
    case 'file':
      await writeArchiveFile(context, { ...target, files }, signal);
      break;
    case 'stream':
      await writeArchiveStream(context, { ...target, files }, signal);
      break;
    case 'directory':
      await (await import('./write-layout.ts')).writeLayout(context, { ...target, files }, signal); // it loads zod
      break;
  }
  return warnings;
}

function contentsOf(
  context: ImagesContext,
  { selection, format, other }: ManyExport,
  signal: AbortSignal,
): Promise<Contents> {
  const { images, archives } = selection;
  switch (format ?? (archives.length > 0 || other ? 'bundle' : 'oci-archive')) {
    case 'bundle':
      return bundleContents(context, selection, other, signal);
    case 'oci-archive':
      return ociContents(context, images, signal);
    case 'docker-archive':
      return dockerContents(context, images, signal);
  }
}
