import { ImageError } from '../errors.ts';
import type { ImageId } from './image-id.ts';
import type { Labels } from './labels.ts';
import { show } from './show.ts';

/**
 * The properties that the image must have; those that the request does not mention are absent. @see docs/rules.md D7,
 * D9
 */
export type Expected = {
  readonly name?: string;
  readonly labels?: Labels;
  /** Labels that were not requested: the image may lack them, but must not contradict them. */
  readonly defaults?: Labels;
  /** A pin: an image ID or a prefix of one. */
  readonly imageId?: string;
  /** Bytes of the uncompressed image. */
  readonly size?: number;
};

/** The properties of an image that are compared with a request. Both an ingest and the store know them. */
export type Facts = {
  readonly name: string;
  readonly labels: Labels;
  readonly imageId: ImageId;
  /** Bytes of the uncompressed image. */
  readonly size: number;
};

/** @throws NAME_MISMATCH, LABEL_MISMATCH, IMAGE_ID_MISMATCH, SIZE_MISMATCH */
export function checkExpected({ name, labels, imageId, size }: Facts, expected: Expected): void {
  if (expected.name !== undefined && name !== expected.name) {
    const details = { asked: expected.name, found: name };
    throw new ImageError('NAME_MISMATCH', `the image is called ${show(name)}, not ${show(expected.name)}`, details);
  }
  for (const [label, asked] of expected.labels ?? []) mustAgree(label, asked, labels.get(label));
  for (const [label, asked] of expected.defaults ?? []) mustAgree(label, asked, labels.get(label) ?? asked);
  if (expected.imageId !== undefined && !imageId.startsWith(expected.imageId)) {
    const details = { asked: expected.imageId, found: imageId };
    throw new ImageError('IMAGE_ID_MISMATCH', `the image is ${imageId}, pinned was ${show(expected.imageId)}`, details);
  }
  if (expected.size !== undefined && size !== expected.size) {
    const details = { asked: expected.size, found: size };
    throw new ImageError('SIZE_MISMATCH', `the image has ${size} bytes, ${expected.size} were announced`, details);
  }
}

function mustAgree(label: string, asked: string, found: string | undefined): void {
  if (found === asked) return;
  const details = { label, asked, ...(found !== undefined && { found }) };
  const has = found === undefined ? 'the image has no such label' : `the image has ${show(found)}`;
  throw new ImageError('LABEL_MISMATCH', `label ${show(label)}: ${show(asked)} was asked for, ${has}`, details);
}
