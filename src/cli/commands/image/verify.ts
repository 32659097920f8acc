import { availableParallelism } from 'node:os';

import {
  asImageError,
  type Damage,
  hasCode,
  ImageError,
  isImageId,
  type LostBlob,
  lostBlobs,
  openPool,
  type Relisted,
  relistImages,
  resolveEntries,
  shortImageId,
  show,
  type Store,
  type StoredImage,
  verifyImages,
  type VerifyReport,
  type VerifyRequest,
} from '../../../internal.ts';
import { isOn, valueOf } from '../../options/read.ts';
import { parseCount } from '../../options/values.ts';
import { formatTable, toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { idText, imageTitle, sizeText } from './fields.ts';
import { oneOf } from './options.ts';
import { openRefetch } from './refetch.ts';
import type { Failure, Subcommand } from './subcommand.ts';

/** Writes the report. Unrepaired damage is a failure, and so is a request that matches no image. */
export const verify: Subcommand = (line, { stdout, stderr, signal, environment }) => {
  const asked = line.operands.map(({ text }) => text);
  const repairs = isOn(line, 'repair');
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  const workers = valueOf(line, 'workers', parseCount) ?? availableParallelism();
  return {
    /** Without an index it is unknown which images there were: each blob is named. */
    async failed(error) {
      if (repairs || !hasCode(error, 'STORE_CORRUPT')) throw error;
      const lost = await Array.fromAsync(lostBlobs(error.details.path));
      if (lost.length === 0) throw error;
      await write(stdout, output === 'json' ? formatLostJson(lost) : formatLostText(lost));
      return [{ asked: error.details.path, error }];
    },
    access: repairs ? 'repair' : 'read',
    async run(store, setAside) {
      await using pool = openPool({ workers, sessionsPerWorker: 2 });
      const warn = (message: string): void => void stderr.write(`warning: ${show(message, 1000)}\n`);
      await using refetch = openRefetch(store, line, environment, warn);
      const changes = repairs && !store.readOnly;
      const relisted = changes ? await relistImages({ store, pool }, workers, signal) : undefined;
      if (relisted) await write(stderr, relistedText(relisted, setAside));
      const keepsBlobs = setAside !== undefined || (relisted?.count ?? 0) > 0 || (relisted?.kept ?? []).length > 0;
      const repair = changes ? { nowMs: Date.now(), refetch, keepsBlobs } : undefined;
      const failures: Failure[] = [];
      if (!repair && asked.length === 0) failures.push(...(await ociIndexFailures(store)));
      const what = asked.length === 0 ? everything(store) : await named(store, asked, failures);
      const request = {
        ...what,
        width: 2 * workers,
        ...(repair && { repair }),
        ...(relisted && { sound: relisted.images }),
      };
      const report = await verifyImages({ store, pool }, request, signal);
      if (report.ociIndexSetAside) await write(stderr, ociIndexText);
      await write(
        stdout,
        output === 'json' ? formatVerifyJson(report, relisted?.count ?? 0) : formatVerifyText(report),
      );
      const bad = report.damaged.filter(({ repaired }) => !repaired);
      return [...failures, ...bad.map((damage) => failureOf(damage, store, repairs))];
    },
  };
};

type Asked = Pick<VerifyRequest, 'images' | 'blobs'>;

/** The most files to name that are kept; others are only counted. */
const shownFiles = 8;

function relistedText({ count, kept }: Relisted, setAside: string | undefined): string {
  const found = `${count === 1 ? '1 image is' : `${count} images are`} listed again, as not verified`;
  const lines = [
    ...(setAside === undefined ? [] : [`the index was damaged and is now ${show(setAside, 4096)}; ${found}`]),
    ...(setAside === undefined && count > 0 ? [`the index did not name all that is in the store; ${found}`] : []),
    ...kept.slice(0, shownFiles).map((path) => `no image can be made of ${show(path, 4096)}: it stays until image gc`),
    ...(kept.length > shownFiles ? [`nor of ${kept.length - shownFiles} more files`] : []),
  ];
  return lines.map((line) => `warning: ${line}\n`).join('');
}

const ociIndexText =
  'warning: index.json could not be read and is written anew; the old one is beside it, and what other tools had named' +
  ' there is not kept any more\n';

/** Reports a damaged index.json when nothing is repaired: other tools find no image then, and gc keeps all blobs. */
async function ociIndexFailures(store: Store): Promise<readonly Failure[]> {
  return store.ociIndex().then(
    () => [],
    (error: unknown) => [{ asked: 'index.json', error: asImageError(error) }],
  );
}

function everything(store: Store): Asked {
  return { images: store.images(), blobs: store.blobRows() };
}

async function named(store: Store, asked: readonly string[], failures: Failure[]): Promise<Asked> {
  const images = new Map<string, StoredImage>();
  const digests = new Set<string>();
  for (const text of asked) {
    try {
      for (const entry of await resolveEntries(store, text)) {
        if (entry.kind === 'image') images.set(entry.id, entry.image);
        else for (const digest of entry.image.blobs) digests.add(digest);
      }
    } catch (error) {
      failures.push({ asked: text, error: asImageError(error) });
    }
  }
  return { images: images.values(), blobs: blobsAmong(store, digests) };
}

async function* blobsAmong(store: Store, digests: ReadonlySet<string>): Asked['blobs'] {
  if (digests.size === 0) return;
  for await (const blob of store.blobRows()) if (digests.has(blob.digest)) yield blob;
}

function failureOf(damage: Damage, store: Store, unlisted: boolean): Failure {
  const blob = damage.kind === 'image' ? 'its blob' : `a blob of ${show(damagedTitle(damage), 1000)}`;
  const what = `${blob} is damaged: ${damage.problem}${unlisted ? '; taken off the list' : ''}`;
  const error = new ImageError('STORE_CORRUPT', what, { path: damagedPath(store, damage) });
  return { asked: damagedId(damage), error };
}

/** The most images to name that need one blob; others are only counted. */
const shownImages = 4;

/** @param relisted - the number of images that are listed again. */
function formatVerifyJson({ checked, damaged, unreferenced }: VerifyReport, relisted: number): string {
  const rows = damaged.map((damage) => {
    const { problem, repaired } = damage;
    const id = damage.kind === 'image' ? { imageID: damage.image.imageId } : { digest: damage.digest };
    return { ...id, problem, repaired };
  });
  return `${toSafeJson({ schema: 'longshore.verify/1', checked, damaged: rows, unreferenced, ...(relisted > 0 && { relisted }) })}\n`;
}

function formatVerifyText({ checked, checkedBlobs, bytes, damaged, unreferenced }: VerifyReport): string {
  const rows = damaged.map((damage) => [
    damagedId(damage),
    show(damagedTitle(damage), 1000),
    damage.problem,
    damage.repaired ? 'repaired' : 'damaged',
  ]);
  const loose = unreferenced === 0 ? '' : `; unreferenced files: ${unreferenced}`;
  if (checked === 0) return `no images to check${loose}\n`;
  const images = checked - checkedBlobs;
  const counts = [
    ...(images > 0 || checkedBlobs === 0 ? [`${images} ${images === 1 ? 'image' : 'images'}`] : []),
    ...(checkedBlobs > 0 ? [`${checkedBlobs} ${checkedBlobs === 1 ? 'blob' : 'blobs'} of registry images`] : []),
  ];
  const bad = damaged.length === 0 ? 'all sound' : `${damaged.length} damaged`;
  return `${formatTable(rows)}checked ${counts.join(' and ')} (${sizeText(bytes)}): ${bad}${loose}\n`;
}

/**
 * Formats the report for a store whose index is lost. Nothing was hashed, since it is unknown which blobs should exist.
 */
function formatLostJson(lost: readonly LostBlob[]): string {
  const rows = lost.map(({ id }) => ({
    ...(isImageId(id) ? { imageID: id } : { digest: id }),
    problem: 'index-lost',
    repaired: false,
  }));
  return `${toSafeJson({ schema: 'longshore.verify/1', checked: 0, damaged: rows, unreferenced: lost.length })}\n`;
}

function formatLostText(lost: readonly LostBlob[]): string {
  const bytes = lost.reduce((sum, { size }) => sum + size, 0);
  const rows = lost.map(({ id, size }) => [isImageId(id) ? shortImageId(id) : id, sizeText(size), 'index-lost']);
  const blobs = lost.length === 1 ? '1 blob' : `${lost.length} blobs`;
  return `${formatTable(rows)}the index is lost: ${blobs} (${sizeText(bytes)}) not listed\n`;
}

function damagedId(damage: Damage): string {
  return damage.kind === 'image' ? idText({ kind: 'image', id: damage.image.imageId }) : damage.digest;
}

function damagedPath(store: Store, damage: Damage): string {
  return damage.kind === 'image' ? store.blobPath(damage.image.imageId) : store.digestPath(damage.digest);
}

/** The image of a damage, or the images that need the blob. */
function damagedTitle(damage: Damage): string {
  if (damage.kind === 'image') return imageTitle(damage.image);
  if (damage.images.length === 0) return 'no image';
  const references = damage.images.slice(0, shownImages).map(({ reference }) => reference);
  const more = damage.images.length - references.length;
  return [...references, ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}
