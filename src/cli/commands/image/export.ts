import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';

import {
  defaultLimits,
  exportImage,
  exportRegistryImage,
  exportRegistryImageToStream,
  exportToStream,
  ImageError,
  type ImagesContext,
  type Limits,
  loadExport,
  type ManyExport,
  openPool,
  preferArchive,
  requireRegistryImage,
  resolveEntry,
  show,
  type Wanted,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { isOn, namedValuesOf, textOf, valueOf } from '../../options/read.ts';
import { parseLimits } from '../../options/values.ts';
import { write } from '../../output/write.ts';
import { oneOf } from './options.ts';
import type { Failure, Subcommand } from './subcommand.ts';

const formatsOfOne = ['aci', 'oci', 'docker'] as const;
const formatsOfMany = ['oci-archive', 'docker-archive', 'bundle'] as const;

type OneFormat = (typeof formatsOfOne)[number];
type ManyFormat = (typeof formatsOfMany)[number];

type Export = {
  readonly named: readonly string[];
  readonly lists: readonly string[];
  readonly all: boolean;
  readonly file: string;
  readonly overwrite: boolean;
  readonly format: OneFormat | ManyFormat | undefined;
  readonly compress: 'gzip' | 'zstd' | undefined;
  /** The file that says what the receiver has. */
  readonly without: string | undefined;
  /** Those for an archive that is made of a registry image. */
  readonly limits: Limits;
};

/** A FILE of `-` is the standard output. A directory, or a name that ends with a slash, becomes an OCI image layout. */
export const exportCommand: Subcommand = (line, io) => {
  const request = readRequest(line);
  return {
    access: 'use',
    asked: request.named,
    async run(store) {
      await using pool = openPool({ workers: availableParallelism(), sessionsPerWorker: 1 });
      return await runExport({ store, pool }, request, line, io);
    },
  };
};

/** @throws USAGE */
function readRequest(line: CommandLine): Export {
  const operands = line.operands.map(({ text }) => text);
  const [file = '', named] = [operands.at(-1), operands.slice(0, -1)];
  if (file === '') throw usageError('the name of the file is empty'); // it would mean the working directory
  const lists = line.values('from-file').map(({ text }) => text);
  const all = isOn(line, 'all');
  if (!all && named.length + lists.length === 0)
    throw usageError('name at least one image before the file, or a list with -f, or --all');
  const request: Export = {
    ...{ named, lists, all, file },
    format: valueOf(line, 'format', oneOf([...formatsOfOne, ...formatsOfMany])),
    overwrite: isOn(line, 'overwrite'),
    compress: valueOf(line, 'compress', oneOf(['gzip', 'zstd'])),
    without: textOf(line, 'without'),
    limits: { ...defaultLimits, ...namedValuesOf(line, 'limit', parseLimits) },
  };
  const { format, compress, without } = request;
  if (without !== undefined && (format ?? 'bundle') !== 'bundle')
    throw usageError('only a bundle leaves out what the receiver has', '--without');
  if (compress !== undefined && formatsOfOne.some((one) => one === format))
    throw usageError(
      'only archives of the formats oci-archive, docker-archive and bundle are compressed',
      '--compress',
    );
  return request;
}

async function runExport(
  context: ImagesContext,
  request: Export,
  line: CommandLine,
  io: Io,
): Promise<readonly Failure[]> {
  const { named, lists, all, format, compress, without, file } = request;
  const isDirectory = file !== '-' && format !== 'aci' && (await isDirectoryAt(file));
  const [asked, ...others] = named;
  const isOne = asked !== undefined && others.length + lists.length === 0 && !all;
  const many = formatsOfMany.find((one) => one === format);
  if (isOne && !many && compress === undefined && without === undefined && !isDirectory) {
    const of = formatsOfOne.find((one) => one === format);
    await warn(io, await exportOne(context, { ...request, asked, format: of }, io));
    return [];
  }
  if (!isOne && !many && format !== undefined && !(isDirectory && format === 'oci')) {
    throw usageError(`want ${formatsOfMany.join(', ')} for several images, got "${format}"`, '--format');
  }
  if (isDirectory && (format === 'docker' || format === 'docker-archive'))
    throw usageError('only an OCI image layout can be a directory', '--format');
  if (isDirectory && compress !== undefined) throw usageError('a directory is not compressed', '--compress');
  return exportMany(context, { ...request, isDirectory, format: many ?? (format && 'oci-archive') }, line, io);
}

type ManyRequest = Omit<Export, 'format'> & { readonly format: ManyFormat | undefined; readonly isDirectory: boolean };

/** @returns the images that the store does not have: then nothing is written */
async function exportMany(
  context: ImagesContext,
  { named, lists, all, file, overwrite, format, compress, without, isDirectory }: ManyRequest,
  line: CommandLine,
  io: Io,
): Promise<readonly Failure[]> {
  const { store } = context;
  const wanted: Wanted[] = named.map((asked) => ({ asked, kind: 'named' }));
  if (lists.length > 0) {
    const { readListed } = await import('./prune.ts');
    const { listed, failures } = await readListed(io, line, { lists, store });
    if (failures.length > 0) return failures;
    for (const one of listed) wanted.push({ ...one, kind: 'listed' });
  }
  const other = without === undefined ? undefined : await (await import('./without.ts')).readOtherSide(without);
  const { platform, arch } = process;
  const takesArchives = format === undefined || format === 'bundle';
  const asked = { wanted, all, takesArchives, platform: { platform, arch } };
  const { exportImages, select } = await loadExport();
  const { selection, failures, warnings } = await select(store, asked, io.signal);
  if (failures.length > 0) return failures;
  if (selection.images.length + selection.archives.length === 0) {
    await warn(io, warnings);
    const what = all ? 'image' : 'image that was asked for';
    const message = `the store in ${show(store.dir, 1000)} has no ${what}: nothing is written`;
    throw new ImageError('NOT_IN_STORE', message, { asked: file });
  }
  const place = { target: resolve(file), overwrite };
  const target: ManyExport['target'] = isDirectory
    ? { kind: 'directory', ...place }
    : file === '-'
      ? { kind: 'stream', output: io.stdout, compress }
      : { kind: 'file', ...place, compress };
  const more = await exportImages(context, { selection, format, other, target }, io.signal);
  await warn(io, [...warnings, ...more]);
  return [];
}

type OneExport = Pick<Export, 'file' | 'overwrite' | 'limits'> & {
  readonly asked: string;
  readonly format: OneFormat | undefined;
};

/** @returns what the format cannot express */
async function exportOne(
  context: ImagesContext,
  { asked, file, overwrite, format, limits }: OneExport,
  { stdout, signal }: Pick<Io, 'stdout' | 'signal'>,
): Promise<readonly string[]> {
  const { store } = context;
  const entry = await resolveEntry(store, asked);
  const target = { target: resolve(file), overwrite };
  if (format === 'aci' || (format === undefined && entry.kind === 'image')) {
    const request = { image: await preferArchive(store, entry), limits };
    return file === '-'
      ? exportToStream(context, { ...request, output: stdout }, signal)
      : exportImage(context, { ...request, ...target }, signal);
  }
  const request = { image: await requireRegistryImage(store, entry), format: format ?? 'oci' } as const;
  await (file === '-'
    ? exportRegistryImageToStream(context, { ...request, output: stdout }, signal)
    : exportRegistryImage(context, { ...request, ...target }, signal));
  return [];
}

async function warn({ stderr }: Pick<Io, 'stderr'>, warnings: readonly string[]): Promise<void> {
  await write(stderr, warnings.map((message) => `warning: ${show(message, 1000)}\n`).join(''));
}

async function isDirectoryAt(file: string): Promise<boolean> {
  return file.endsWith('/') || ((await stat(file).catch(() => undefined))?.isDirectory() ?? false);
}
