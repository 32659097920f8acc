import { availableParallelism } from 'node:os';

import {
  asImageError,
  defaultLimits,
  ImageError,
  openPool,
  relistBlobs,
  resolveImages,
  show,
  verifyImages,
  type Damage,
  type Store,
  type StoredImage,
  type VerifyReport,
} from '../../index.ts';
import { parseCount } from '../options/count.ts';
import { isOn, valueOf } from '../options/read.ts';
import { write } from '../output/write.ts';
import { oneOf } from './choice.ts';
import { imageTitle, sizeText } from './image-fields.ts';
import { toSafeJson } from './json-text.ts';
import { openRefetch } from './refetch.ts';
import type { Failure, Subcommand } from './subcommand.ts';
import { formatTable } from './table.ts';

/** Writes the report; what is damaged and stays so is a failure, and so is a request that names no image. */
export const verify: Subcommand = (line, { stdout, stderr, signal, environment }) => {
  const asked = line.operands.map(({ text }) => text);
  const repairs = isOn(line, 'repair');
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  const workers = valueOf(line, 'workers', parseCount) ?? availableParallelism();
  return {
    access: repairs ? 'repair' : 'read',
    async run(store, setAside) {
      await using pool = openPool({ workers, sessionsPerWorker: 2 });
      await using refetch = openRefetch(store, line, environment);
      const repair = repairs && !store.readOnly ? { nowMs: Date.now(), refetch } : undefined;
      if (setAside !== undefined) {
        const count = await relistBlobs({ store, pool }, { limits: defaultLimits, width: workers }, signal);
        await write(stderr, setAsideText(setAside, count));
      }
      const failures: Failure[] = [];
      const images = asked.length === 0 ? store.images() : await named(store, asked, failures);
      const request = { images, width: 2 * workers, ...(repair && { repair }) };
      const report = await verifyImages({ store, pool }, request, signal);
      await write(stdout, output === 'json' ? formatJson(report) : formatText(report));
      const bad = report.damaged.filter(({ repaired }) => !repaired);
      return [...failures, ...bad.map((damage) => failureOf(damage, store, repairs))];
    },
  };
};

function setAsideText(path: string, count: number): string {
  const found = count === 1 ? '1 image is' : `${count} images are`;
  return `warning: the index was damaged and is now ${show(path, 4096)}; ${found} listed again, as not verified\n`;
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
  if (checked === 0) return 'no images to check\n';
  const bad = damaged.length === 0 ? 'all sound' : `${damaged.length} damaged`;
  const loose = unreferenced === 0 ? '' : `; unreferenced files: ${unreferenced}`;
  return `${formatTable(rows)}checked ${checked} ${checked === 1 ? 'image' : 'images'} (${sizeText(bytes)}): ${bad}${loose}\n`;
}
