import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';

import {
  defaultLimits,
  exportImage,
  exportRegistryImage,
  exportRegistryImageToDirectory,
  exportRegistryImageToStream,
  exportToStream,
  type ImagesContext,
  type Limits,
  openPool,
  preferArchive,
  requireRegistryImage,
  resolveEntry,
  show,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import { usageError } from '../../options/option.ts';
import { isOn, namedValuesOf, valueOf } from '../../options/read.ts';
import { parseLimits } from '../../options/values.ts';
import { write } from '../../output/write.ts';
import { oneOf } from './options.ts';
import type { Subcommand } from './subcommand.ts';

type Export = {
  readonly asked: string;
  readonly file: string;
  readonly overwrite: boolean;
  readonly format: 'aci' | 'oci' | 'docker' | undefined;
  /** Those for an archive that is made of a registry image. */
  readonly limits: Limits;
};

/** A FILE of `-` is the standard output. A directory, or a name that ends with a slash, becomes an OCI image layout. */
export const exportOne: Subcommand = (line, io) => {
  const [asked = '', file = ''] = line.operands.map(({ text }) => text);
  if (file === '') throw usageError('the name of the file is empty'); // it would mean the working directory
  const format = valueOf(line, 'format', oneOf(['aci', 'oci', 'docker']));
  const limits = { ...defaultLimits, ...namedValuesOf(line, 'limit', parseLimits) };
  const request = { asked, file, format, overwrite: isOn(line, 'overwrite'), limits };
  return {
    access: 'use',
    async run(store) {
      await using pool = openPool({ workers: availableParallelism(), sessionsPerWorker: 1 });
      await writeExport({ store, pool }, request, io);
      return [];
    },
  };
};

async function writeExport(
  context: ImagesContext,
  { asked, file, overwrite, format, limits }: Export,
  { stdout, stderr, signal }: Pick<Io, 'stdout' | 'stderr' | 'signal'>,
): Promise<void> {
  const { store } = context;
  const entry = await resolveEntry(store, asked);
  const target = { target: resolve(file), overwrite };
  if (format === 'aci' || (format === undefined && entry.kind === 'image')) {
    const request = { image: await preferArchive(store, entry), limits };
    const warnings = await (file === '-'
      ? exportToStream(context, { ...request, output: stdout }, signal)
      : exportImage(context, { ...request, ...target }, signal));
    await write(stderr, warnings.map((message) => `warning: ${show(message, 1000)}\n`).join(''));
    return;
  }
  const request = { image: await requireRegistryImage(store, entry), format: format ?? 'oci' } as const;
  if (file === '-') return exportRegistryImageToStream(context, { ...request, output: stdout }, signal);
  if (!(await isDirectory(file))) return exportRegistryImage(context, { ...request, ...target }, signal);
  if (format === 'docker') throw usageError('only an OCI image layout can be a directory', 'format');
  return exportRegistryImageToDirectory(context, { ...request, ...target }, signal);
}

async function isDirectory(file: string): Promise<boolean> {
  return file.endsWith('/') || ((await stat(file).catch(() => undefined))?.isDirectory() ?? false);
}
