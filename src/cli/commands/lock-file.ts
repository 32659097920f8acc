import { access, writeFile } from 'node:fs/promises';

import * as z from 'zod';

import {
  formatJsonPlace,
  ImageError,
  isDigest,
  isImageId,
  parseJsonStrict,
  show,
  writeFileTarget,
  type Digest,
  type ImageId,
  type Lock,
} from '../../index.ts';
import { configError } from '../config/config-error.ts';
import { readDocument } from '../config/documents.ts';

export type LockFile = {
  readonly lock: Lock;
  /** The batch went well: what it found is what the file says from now on. Nothing is written where that is so already. */
  end(): Promise<void>;
};

type Images = Map<string, ImageId | Digest>;

/** As for lists. */
const maxBytes = 64 * 1024 * 1024;

const schema = 'longshore.lock/1';

const shape = z.object({
  schema: z.literal(schema, `not a lock file: its schema is not ${schema}`),
  images: z.record(
    z.string(),
    z.object({
      imageID: z.custom<ImageId | Digest>(
        (value) => typeof value === 'string' && (isImageId(value) || isDigest(value)),
        'neither an image ID nor a digest',
      ),
    }),
  ),
});

/**
 * A file that says which image each reference was.
 *
 * @param path - absolute or relative to the working directory; no file there is one that names no image, unless it is frozen.
 * @throws CONFIG_INVALID
 */
export async function openLockFile(path: string, frozen: boolean): Promise<LockFile> {
  const before = frozen || (await isThere(path)) ? await readImages(path) : undefined;
  const found: Images = new Map();
  let ambiguous: string | undefined;
  const onFound = (reference: string, imageId: ImageId | Digest): void => {
    if ((found.get(reference) ?? imageId) !== imageId) ambiguous = reference;
    found.set(reference, imageId);
  };
  return {
    lock: { images: before ?? new Map(), frozen, onFound },
    async end() {
      if (frozen || (before && isSame(before, found))) return;
      if (ambiguous !== undefined) {
        const message = `${show(ambiguous, 2048)} stands for several images, that differ in what the lock file leaves out of a URL`;
        throw new ImageError('LOCK_MISMATCH', message, { reference: ambiguous });
      }
      await writeFileTarget({ target: path, overwrite: true }, (file) =>
        writeFile(file, format(found), { flag: 'wx' }),
      );
    },
  };
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function readImages(path: string): Promise<Images> {
  const bytes = await readDocument(path, maxBytes);
  if (!bytes) throw configError(path, 'is not a regular file');
  const json = parseJsonStrict(bytes);
  if (!json.ok) throw configError(path, `is not JSON: ${formatJsonPlace(json.fault)}`);
  const result = shape.safeParse(json.value);
  if (result.success) return new Map(Object.entries(result.data.images).map(([key, { imageID }]) => [key, imageID]));
  const [issue] = result.error.issues;
  throw configError(path, show(`${issue?.path.join(' ') ?? ''}: ${issue?.message ?? ''}`.replace(/^: /, ''), 1000));
}

function isSame(before: Images, found: Images): boolean {
  return before.size === found.size && found.entries().every(([reference, id]) => before.get(reference) === id);
}

/** One form for the same images, so that versions of the file can be compared line by line. */
function format(found: Images): string {
  const sorted = [...found].sort(([one], [other]) => (one < other ? -1 : 1));
  const images = Object.fromEntries(sorted.map(([reference, imageID]) => [reference, { imageID }]));
  return `${JSON.stringify({ schema, images }, undefined, 2)}\n`;
}
