import { resolve } from 'node:path';
import type { Writable } from 'node:stream';

import { exportImage, exportToStream, resolveImage, type ImagesContext } from '../../index.ts';

export type ExportOptions = {
  readonly asked: string;
  /** As typed; `-` is the standard output. */
  readonly target: string;
  readonly overwrite: boolean;
};

export async function runExport(
  stdout: Writable,
  context: ImagesContext,
  { asked, target, overwrite }: ExportOptions,
  signal: AbortSignal,
): Promise<void> {
  const image = await resolveImage(context.store, asked);
  if (target === '-') return exportToStream(context, image, stdout, signal);
  return exportImage(context, { image, target: resolve(target), overwrite });
}
