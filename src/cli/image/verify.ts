import type { Writable } from 'node:stream';

import {
  asImageError,
  ImageError,
  resolveImages,
  show,
  verifyImages,
  type Damage,
  type ImagesContext,
  type Repair,
  type Store,
  type StoredImage,
  type VerifyReport,
} from '../../index.ts';
import type { Failure } from './failure.ts';
import { imageTitle, sizeText } from './image-fields.ts';
import { toSafeJson } from './json-text.ts';
import { formatTable } from './table.ts';
import { write } from './write.ts';

export type VerifyOptions = {
  /** None: every image of the store. */
  readonly asked: readonly string[];
  readonly repair?: Repair;
  readonly output: 'text' | 'json';
  /** Blobs read at once. */
  readonly width: number;
};

/** Writes the report. @returns what is damaged and stays so, and requests that name no image. */
export async function runVerify(
  stdout: Writable,
  context: ImagesContext,
  { asked, repair, output, width }: VerifyOptions,
  signal: AbortSignal,
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  const images = asked.length === 0 ? context.store.images() : await named(context.store, asked, failures);
  const report = await verifyImages(context, { images, width, ...(repair && { repair }) }, signal);
  await write(stdout, output === 'json' ? formatJson(report) : formatText(report));
  const bad = report.damaged.filter((damage) => !damage.repaired);
  return [...failures, ...bad.map((damage) => failureOf(damage, context.store, repair !== undefined))];
}

async function named(store: Store, asked: readonly string[], failures: Failure[]): Promise<Iterable<StoredImage>> {
  const images = new Map<string, StoredImage>();
  for (const text of asked) {
    try {
      for (const image of await resolveImages(store, text)) images.set(image.imageId, image);
    } catch (error) {
      failures.push({ asked: text, error: asImageError(error) });
    }
  }
  return images.values();
}

function failureOf({ image, problem }: Damage, store: Store, unlisted: boolean): Failure {
  const what = `its blob is damaged: ${problem}${unlisted ? '; taken off the list' : ''}`;
  const error = new ImageError('STORE_CORRUPT', what, { path: store.blobPath(image.imageId) });
  return { asked: image.imageId.slice(0, 39), error };
}

function formatJson({ checked, damaged, unreferenced }: VerifyReport): string {
  const rows = damaged.map(({ image, problem, repaired }) => ({ imageID: image.imageId, problem, repaired }));
  return `${toSafeJson({ schema: 'longshore.verify/1', checked, damaged: rows, unreferenced })}\n`;
}

function formatText({ checked, bytes, damaged, unreferenced }: VerifyReport): string {
  const rows = damaged.map(({ image, problem, repaired }) => [
    image.imageId.slice(0, 39),
    show(imageTitle(image), 1000),
    problem,
    repaired ? 'repaired' : 'damaged',
  ]);
  const bad = damaged.length === 0 ? 'all sound' : `${damaged.length} damaged`;
  const loose = unreferenced === 0 ? '' : `; unreferenced files: ${unreferenced}`;
  return `${formatTable(rows)}checked ${checked} ${checked === 1 ? 'image' : 'images'} (${sizeText(bytes)}): ${bad}${loose}\n`;
}
