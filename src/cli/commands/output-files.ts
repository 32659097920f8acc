import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { access, constants, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';

import { type AppInput, type ImageError, isImageError, show } from '../../internal.ts';
import { splitListType } from '../../lists/read-list.ts';
import { usageError } from '../options/option.ts';
import { outputFailed, reasonOf } from '../output/error-line.ts';
import { writeWhole } from '../output/write.ts';

/** A file to write, and the option that named it. */
export type OutputFile = { readonly option: string; readonly path: string };

/** The files that a run reads, and its store. */
export type RunInputs = {
  /** The values of -f. */
  readonly lists: readonly string[];
  readonly apps: readonly AppInput[];
  /** Absent for commands that use none. */
  readonly storeDir?: string;
  /** The value of `--attest-key`. */
  readonly key?: string | undefined;
};

/**
 * Refuses outputs that would overwrite an input, are in the store, or share one file. Paths that are no regular files,
 * such as pipes, are allowed.
 *
 * @throws USAGE
 */
export async function requireApart(
  outputs: readonly OutputFile[],
  { lists, apps, storeDir, key }: RunInputs,
): Promise<void> {
  if (outputs.length === 0) return;
  const taken = new Map<string, string>();
  for (const list of lists) {
    const { path } = splitListType(list);
    if (path !== '-') taken.set((await placeOf(path)) ?? path, 'a list of this run');
  }
  if (key !== undefined) taken.set((await placeOf(key)) ?? key, 'the key of this run');
  const images = new Set(apps.flatMap(pathsOf));
  const store = storeDir && (await realpath(storeDir).catch(() => resolve(storeDir)));
  for (const { option, path } of outputs) {
    const place = await placeOf(path);
    if (place === undefined) continue;
    const isRead = images.has(place) || images.has(resolve(path));
    const what = taken.get(place) ?? (isRead ? 'an image or a signature of this run' : undefined);
    if (what !== undefined) throw usageError(`"${show(path)}" is ${what}`, option);
    if (store && `${place}${sep}`.startsWith(`${store}${sep}`))
      throw usageError(`"${show(path)}" is in the store`, option);
    taken.set(place, `the file of ${option} too`);
  }
}

/** The paths of a request, if it is a file. Other texts give paths that nobody writes to. */
function pathsOf({ image, signature, directory = process.cwd() }: AppInput): readonly string[] {
  return [resolve(directory, image), ...(signature === undefined ? [] : [resolve(directory, signature)])];
}

/** The path of a file that exists or will exist, without symlinks; undefined when it exists and is no regular file. */
async function placeOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found) return found.isFile() ? realpath(path) : undefined;
  const directory = await realpath(dirname(resolve(path))).catch(() => dirname(resolve(path)));
  return join(directory, basename(path));
}

const { O_NONBLOCK, O_WRONLY } = constants;

/** Checks whether a file can be written, before anything else is done. Creates nothing. @throws USAGE */
export async function requireWritable(path: string, option: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  try {
    if (found?.isDirectory()) throw usageError(`"${show(path)}" is a directory`, option);
    if (found) await access(path, constants.W_OK);
    // it is written there first, under another name
    if (!found || found.isFile()) await access(`${dirname(targetOf(path))}/.`, constants.W_OK);
  } catch (error) {
    if (isImageError(error)) throw error;
    throw usageError(`cannot write "${show(path)}": ${reasonOf(error)}`, option);
  }
  return path;
}

/** The path of `--metrics`. @throws USAGE */
export function requireMetricsFile(path: string, option: string): Promise<string> {
  return requireWhole(path, option, 'metrics are');
}

/** The path of `--bom` or `--attest`. @throws USAGE */
export function requireEvidenceFile(path: string, option: string): Promise<string> {
  return requireWhole(path, option, 'it is');
}

function requireWhole(path: string, option: string, what: string): Promise<string> {
  if (path === '-') throw usageError(`want a file: ${what} written as a whole at the end (./- is a file)`, option);
  return requireWritable(path, option);
}

/** A file to write at the end of a run: `what` names it in errors. */
type WrittenFile = {
  readonly path: string;
  readonly what: string;
  /** The permissions of the file; by default those that new files get. */
  readonly mode?: number;
};

/**
 * Writes a file piece by piece under another name, and renames it when it is complete. Synchronous, so that it also
 * works while the process exits. A path that is no regular file, such as a pipe, is written directly; a pipe without a
 * reader is not waited for.
 *
 * @returns OUTPUT_FAILED when it could not be written.
 */
export function writeOutput(
  { path, what, mode }: WrittenFile,
  pieces: Iterable<string | Uint8Array>,
): ImageError | undefined {
  let temporary: string | undefined;
  try {
    const target = targetOf(path);
    const isPlain = statSync(target, { throwIfNoEntry: false })?.isFile() ?? true;
    // A short name, so that it is possible for the longest name of a target, too.
    if (isPlain) temporary = join(dirname(target), `.longshore-${randomBytes(8).toString('hex')}`);
    const file = temporary === undefined ? openSync(target, O_WRONLY | O_NONBLOCK) : openSync(temporary, 'wx');
    try {
      if (temporary !== undefined && mode !== undefined) fchmodSync(file, mode);
      for (const piece of pieces) writeWhole(file, typeof piece === 'string' ? Buffer.from(piece) : piece);
    } finally {
      closeSync(file);
    }
    if (temporary !== undefined) renameSync(temporary, target);
    return undefined;
  } catch (error) {
    if (temporary !== undefined) removeIfThere(temporary);
    return isImageError(error) ? error : outputFailed(`${what} ${show(path)}`, error);
  }
}

/** The file that a path leads to, through symbolic links; it need not be there yet. @throws errors of the system */
function targetOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })) return realpathSync(path);
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path;
  return targetOf(resolve(realpathSync(dirname(path)), readlinkSync(path)));
}

/**
 * Has a file written once, at the end of a run, however the run ends: a process that exits early writes what there is.
 *
 * @returns a function to call at the end. @param onFailure - called when the file could not be written
 */
export function writeAtEnd(write: () => ImageError | undefined, onFailure: (error: ImageError) => void): () => void {
  const end = (): void => {
    process.off('exit', end);
    const failure = write();
    if (failure) onFailure(failure);
  };
  process.once('exit', end);
  return end;
}

/** Ignores errors: without its directory the removal fails, too. */
function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // the error of the write is reported
  }
}
