import { realpath, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import * as z from 'zod';

import {
  checkShape,
  configInvalid,
  describeJsonPlace,
  type Digest,
  formatFieldFault,
  ImageError,
  type ImageId,
  isDigest,
  isImageId,
  type Lock,
  parseJsonStrict,
  readConfigFile,
  show,
  writeFileTarget,
} from '../../../internal.ts';
import { errnoOf } from '../../../system/errno.ts';
import { outputFailed } from '../../output/error-line.ts';

export type LockFile = {
  readonly lock: Lock;
  /**
   * Called after a batch without failures: writes what it found to the file, unless nothing has changed.
   *
   * @throws LOCK_MISMATCH, OUTPUT_FAILED
   */
  end(): Promise<void>;
};

type Images = Map<string, ImageId | Digest>;

/** The same limit as for lists. */
const maxBytes = 64 * 1024 * 1024;

const schema = 'longshore.lock/1';

const shape = z.object({
  schema: z.literal(schema, `not a lock file: its schema is not ${schema}`),
  images: z.record(
    z.string(),
    z.union(
      [
        z.object({ imageID: z.custom<ImageId>((value) => typeof value === 'string' && isImageId(value)) }),
        z.object({ digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)) }),
      ],
      'neither an imageID of sha512 nor a digest of sha256',
    ),
  ),
});

/**
 * Opens a file that records the image of each reference.
 *
 * @param path - absolute, or relative to the working directory. A missing file counts as empty, unless frozen.
 * @throws CONFIG_INVALID
 */
export async function openLockFile(path: string, frozen: boolean): Promise<LockFile> {
  const before = await readImages(path, frozen);
  const found: Images = new Map();
  let ambiguous: string | undefined;
  const onFound = (reference: string, id: ImageId | Digest): void => {
    if ((found.get(reference) ?? id) !== id) ambiguous = reference;
    found.set(reference, id);
  };
  return {
    lock: { images: before ?? new Map(), frozen, onFound },
    async end() {
      if (frozen || found.size === 0 || (before && isSame(before, found))) return;
      if (ambiguous !== undefined) {
        const message = `${show(ambiguous, 2048)} stands for several images, so that none of them can be locked`;
        throw new ImageError('LOCK_MISMATCH', message, { reference: ambiguous, why: 'ambiguous' });
      }
      const target = await realpath(path).catch(() => resolve(path));
      try {
        await writeFileTarget({ target, overwrite: true }, (file) => writeFile(file, format(found), { flag: 'wx' }));
      } catch (error) {
        throw outputFailed(`the lock file ${show(path)}`, error);
      }
    },
  };
}

async function readImages(path: string, isRequired: boolean): Promise<Images | undefined> {
  const bytes = await readConfigFile(path, { maxBytes }).catch((error: Error) => {
    if (!isRequired && errnoOf(error.cause) === 'ENOENT') return undefined;
    throw error;
  });
  if (!bytes) return undefined;
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw configInvalid(path, describeJsonPlace(json.fault));
  const result = checkShape(shape, json.value);
  if (result.ok) {
    const entries = Object.entries(result.value.images);
    return new Map(entries.map(([name, entry]) => [name, 'digest' in entry ? entry.digest : entry.imageID]));
  }
  throw configInvalid(path, formatFieldFault(result.fault));
}

function isSame(before: Images, found: Images): boolean {
  return before.size === found.size && found.entries().every(([reference, id]) => before.get(reference) === id);
}

/** Sorted, so that versions of the file can be compared line by line. */
function format(found: Images): string {
  const sorted = [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  const images = Object.fromEntries(
    sorted.map(([name, id]) => [name, isDigest(id) ? { digest: id } : { imageID: id }]),
  );
  return `${JSON.stringify({ schema, images }, undefined, 2)}\n`;
}
