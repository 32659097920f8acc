import { realpath, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import * as z from 'zod';

import {
  checkConfig,
  type Digest,
  ImageError,
  type ImageId,
  isDigest,
  isImageId,
  type Lock,
  type LockedImage,
  lockedImages,
  parseConfigJson,
  readConfigFile,
  shortId,
  show,
  writeFileTarget,
} from '../../../internal.ts';
import { byName, lockedImageShape, plainLockedImage, textOf } from '../../../locked-image.ts';
import { errnoOf } from '../../../system/errno.ts';
import { outputFailed } from '../../output/error-line.ts';

export type LockFile = {
  readonly lock: Lock;
  /**
   * Called after a batch: writes what it found to the file, unless nothing has changed, or an image failed and the file is to be whole.
   *
   * @param onWarning - is told of what has moved, if all is resolved anew. @throws LOCK_MISMATCH, OUTPUT_FAILED
   */
  end(isComplete: boolean, onWarning: (message: string) => void): Promise<void>;
};

export type LockOptions = {
  /** Only what the file has may be fetched, and the file stays as it is. */
  readonly frozen?: boolean;
  /** What the file has does not count: it is found out anew. */
  readonly relock?: boolean;
  /** What was found is written also when other images failed. */
  readonly partial?: boolean;
};

type Images = ReadonlyMap<string, LockedImage>;

/** The same limit as for lists. */
const maxBytes = 64 * 1024 * 1024;

const schema = 'longshore.lock/2';
const firstSchema = 'longshore.lock/1';

const digest = textOf(isDigest, 'is no digest: sha256: and 64 lower-case hex digits');
const imageId = textOf(isImageId, 'is no image ID: sha512- and 128 lower-case hex digits');

const firstEntry = z.union(
  [z.object({ imageID: imageId }), z.object({ digest })],
  'neither an imageID of sha512 nor a digest of sha256',
);

const shape = z.discriminatedUnion(
  'schema',
  [
    z.object({ schema: z.literal(schema), images: z.record(z.string(), lockedImageShape) }),
    z.object({ schema: z.literal(firstSchema), images: z.record(z.string(), firstEntry) }),
  ],
  `not a lock file: its schema is neither ${schema} nor ${firstSchema}`,
);

/**
 * Opens a file that records the image of each reference.
 *
 * @param path - absolute, or relative to the working directory. A missing file counts as empty, unless frozen.
 * @throws CONFIG_INVALID
 */
export async function openLockFile(
  path: string,
  { frozen = false, relock = false, partial = false }: LockOptions = {},
): Promise<LockFile> {
  const before = await readLockFile(path, frozen);
  const found = new Map<string, LockedImage>();
  let ambiguous: string | undefined;
  const onFound = (reference: string, _id: ImageId | Digest, image: LockedImage): void => {
    const merged = merge(found.get(reference), image);
    if (!merged) ambiguous = reference;
    found.set(reference, merged ?? image);
  };
  const target = await realpath(path).catch(() => resolve(path));
  return {
    lock: { images: relock ? new Map() : (before?.images ?? new Map()), frozen, onFound },
    async end(isComplete, onWarning) {
      if (frozen || found.size === 0 || !(isComplete || partial)) return;
      const next = isComplete ? found : new Map([...(before?.images ?? []), ...found]);
      if (ambiguous !== undefined) {
        const message = `${show(ambiguous, 2048)} stands for several images, so that none of them can be locked`;
        throw new ImageError('LOCK_MISMATCH', message, { reference: ambiguous, why: 'ambiguous' });
      }
      if (relock) for (const message of moved(before?.images ?? new Map(), found)) onWarning(message);
      const text = format(next);
      if (text === before?.text) return;
      try {
        await writeFileTarget({ target, overwrite: true }, async (file) => {
          await writeFile(file, text, { flag: 'wx' });
          await refuseChanged(path, before?.text);
        });
      } catch (error) {
        throw outputFailed(`the lock file ${show(path)}`, error);
      }
    },
  };
}

/** What was found of one reference at two times, for different platforms perhaps. @returns undefined if these are different images */
function merge(one: LockedImage | undefined, other: LockedImage): LockedImage | undefined {
  if (!one) return other;
  const all = { ...one, ...other, platforms: { ...one.platforms, ...other.platforms } };
  const isSame =
    one.imageID === other.imageID &&
    one.digest === other.digest &&
    Object.entries(one.platforms ?? {}).every(([platform, digest]) => all.platforms[platform] === digest);
  if (!isSame) return undefined;
  const signedBy = [...new Set([...(one.signedBy ?? []), ...(other.signedBy ?? [])])];
  return one.platforms ? { ...all, ...(signedBy.length > 0 && { signedBy }) } : other;
}

/** Another process may have written the file since it was read. What that has found must not be lost. */
async function refuseChanged(path: string, before: string | undefined): Promise<void> {
  const now = await readText(path, false);
  if (now === before) return;
  throw new Error('another program has changed it meanwhile; run the same command again');
}

/** The images of a lock file; undefined if it does not exist and need not. @throws CONFIG_INVALID */
export async function readLockFile(
  path: string,
  isRequired: boolean,
): Promise<{ readonly images: Images; readonly text: string } | undefined> {
  const text = await readText(path, isRequired);
  if (text === undefined) return undefined;
  const value = checkConfig(path, shape, parseConfigJson(path, text, { caseSensitive: true }));
  if (value.schema === schema) return { text, images: new Map(Object.entries(value.images)) };
  const ids = Object.entries(value.images).map(
    ([name, one]) => [name, 'digest' in one ? one.digest : one.imageID] as const,
  );
  return { text, images: lockedImages(new Map(ids)) };
}

async function readText(path: string, isRequired: boolean): Promise<string | undefined> {
  const bytes = await readConfigFile(path, { maxBytes }).catch((error: Error) => {
    if (!isRequired && errnoOf(error.cause) === 'ENOENT') return undefined;
    throw error;
  });
  return bytes?.toString();
}

/** Says of each reference that stood for another image before, what it was and what it is. */
function moved(before: Images, found: Images): readonly string[] {
  return [...found].toSorted(byName).flatMap(([name, image]) => {
    const earlier = before.get(name);
    const change = earlier && changeOf(earlier, image);
    return change === undefined ? [] : [`${show(name, 2048)} has moved: ${change}`];
  });
}

function changeOf(before: LockedImage, now: LockedImage): string | undefined {
  if (before.imageID !== now.imageID) return arrow(before.imageID, now.imageID);
  if (before.digest !== undefined && before.digest !== now.digest) return arrow(before.digest, now.digest);
  for (const [platform, digest] of Object.entries(now.platforms ?? {})) {
    const earlier = before.platforms?.[platform];
    if (earlier !== undefined && earlier !== digest) return `${platform}: ${arrow(earlier, digest)}`;
  }
  if (before.url !== undefined && before.url !== now.url) return arrow(before.url, now.url);
  const [signers, others] = [before, now].map(({ signedBy }) => signedBy?.toSorted().join(', '));
  return signers === undefined || signers === others ? undefined : `signed by ${arrow(signers, others)}`;
}

function arrow(before = 'nothing', now = 'nothing'): string {
  return `${show(shortId(before))} → ${show(shortId(now))}`;
}

/** Sorted, so that versions of the file can be compared line by line. */
function format(found: Images): string {
  const images = Object.fromEntries(
    [...found].toSorted(byName).map(([name, image]) => [name, plainLockedImage(image)]),
  );
  return `${JSON.stringify({ schema, images }, undefined, 2)}\n`;
}
