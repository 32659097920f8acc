import * as z from 'zod';

import type { LockedImage } from './fetchers/context.ts';
import { isDigest } from './image/digest.ts';
import { isImageId } from './image/image-id.ts';
import { isPlatformName } from './image/platform.ts';
import { showUrl } from './image/show.ts';
import { parseIdentity } from './image/sigstore/identity.ts';
import { isHttpUrl } from './image/url.ts';

const maxPlatforms = 64;
const maxSigners = 64;

const digest = textOf(isDigest, 'is no digest: sha256: and 64 lower-case hex digits');
const imageId = textOf(isImageId, 'is no image ID: sha512- and 128 lower-case hex digits');
const url = textOf(isPlainUrl, 'is no http or https URL without user, query and fragment');
const signer = textOf(isSigner, 'is neither a fingerprint, 40 or 64 lower-case hex digits, nor an identity');
const platforms = z
  .record(textOf(isPlatformName, 'is no platform'), digest)
  .refine((all) => Object.keys(all).length <= maxPlatforms, `has more than ${maxPlatforms} platforms`);

/** What a lock says of one image, as lock files and batches of a fleet have it. */
export const lockedImageShape: z.ZodType<LockedImage> = z
  .strictObject({
    imageID: z.union([imageId, digest], 'is no image ID: sha512- and 128 lower-case hex digits').optional(),
    digest: digest.optional(),
    url: url.optional(),
    signature: url.optional(),
    platforms: platforms.optional(),
    signedBy: z.array(signer).min(1).max(maxSigners).optional(),
  })
  .refine(
    ({ imageID, platforms }) => (imageID === undefined) !== (platforms === undefined),
    'must have either an imageID or platforms',
  );

/** A text for which `is` holds. @param problem - the end of a sentence about any other */
export function textOf<T extends string>(is: (text: string) => text is T, problem: string): z.ZodType<T>;
export function textOf(is: (text: string) => boolean, problem: string): z.ZodType<string>;
export function textOf(is: (text: string) => boolean, problem: string): z.ZodType<string> {
  return z.custom<string>((value) => typeof value === 'string' && is(value), problem);
}

/** Whether a text is an http or https URL as messages show it, without user, query and fragment. */
export function isPlainUrl(text: string): boolean {
  return isHttpUrl(text) && URL.canParse(text) && !/\p{Cc}/u.test(text) && showUrl(text) === URL.parse(text)?.href;
}

function isSigner(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text) || parseIdentity(text) !== undefined;
}

/** The same with its members in one order, and those sorted whose order means nothing. */
export function plainLockedImage({ imageID, digest, url, signature, platforms, signedBy }: LockedImage): LockedImage {
  return {
    ...(imageID !== undefined && { imageID }),
    ...(digest !== undefined && { digest }),
    ...(url !== undefined && { url }),
    ...(signature !== undefined && { signature }),
    ...(platforms && { platforms: Object.fromEntries(Object.entries(platforms).toSorted(byName)) }),
    ...(signedBy && { signedBy: signedBy.toSorted() }),
  };
}

/** Sorts entries by their names. */
export function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
