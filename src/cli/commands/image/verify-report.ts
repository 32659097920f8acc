import {
  type Damage,
  ImageError,
  isImageId,
  type LostBlob,
  type Relisted,
  shortImageId,
  show,
  type Store,
  type VerifyReport,
} from '../../../internal.ts';
import { formatTable, toSafeJson } from '../../output/table.ts';
import { idText, imageTitle, sizeText } from './fields.ts';
import type { Failure } from './subcommand.ts';

type Output = 'text' | 'json';

/** @param relisted - the number of images that are listed again. */
export function formatVerified(report: VerifyReport, relisted: number, output: Output = 'text'): string {
  return output === 'json' ? formatVerifyJson(report, relisted) : formatVerifyText(report);
}

function formatVerifyJson({ checked, damaged, unreferenced }: VerifyReport, relisted: number): string {
  const rows = damaged.map((damage) => {
    const { problem, repaired } = damage;
    const id = damage.kind === 'image' ? { imageID: damage.image.imageId } : { digest: damage.digest };
    return { ...id, problem, repaired };
  });
  return `${toSafeJson({ schema: 'longshore.verify/1', checked, damaged: rows, unreferenced, ...(relisted > 0 && { relisted }) })}\n`;
}

function formatVerifyText(report: VerifyReport): string {
  const { checked, checkedBlobs, checkedArchives, bytes, damaged, unreferenced } = report;
  const rows = damaged.map((damage) => [
    damagedId(damage),
    show(damagedTitle(damage), 1000),
    damage.problem,
    damage.repaired ? 'repaired' : 'damaged',
  ]);
  const loose = unreferenced === 0 ? '' : `; unreferenced files: ${unreferenced}`;
  if (checked === 0) return `no images to check${loose}\n`;
  const images = checked - checkedBlobs;
  const ofRegistry = checkedBlobs - checkedArchives;
  const counts = [
    ...(images > 0 || checkedBlobs === 0 ? [`${images} ${images === 1 ? 'image' : 'images'}`] : []),
    ...(checkedArchives > 0 ? [`${checkedArchives} ${checkedArchives === 1 ? 'archive' : 'archives'}`] : []),
    ...(ofRegistry > 0 ? [`${ofRegistry} ${ofRegistry === 1 ? 'blob' : 'blobs'} of registry images`] : []),
  ];
  const bad = damaged.length === 0 ? 'all sound' : `${damaged.length} damaged`;
  return `${formatTable(rows)}checked ${new Intl.ListFormat('en').format(counts)} (${sizeText(bytes)}): ${bad}${loose}\n`;
}

/**
 * Formats the report for a store whose index is lost. Nothing was hashed, since it is unknown which blobs should exist.
 */
export function formatLost(lost: readonly LostBlob[], output: Output = 'text'): string {
  return output === 'json' ? formatLostJson(lost) : formatLostText(lost);
}

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

/** The most files to name that are kept; others are only counted. */
const shownFiles = 8;

/** @param setAside - where a damaged index was moved to. */
export function relistedText({ count, kept }: Relisted, setAside: string | undefined): string {
  const found = `${count === 1 ? '1 image is' : `${count} images are`} listed again, as not verified`;
  const lines = [
    ...(setAside === undefined ? [] : [`the index was damaged and is now ${show(setAside, 4096)}; ${found}`]),
    ...(setAside === undefined && count > 0 ? [`the index did not name all that is in the store; ${found}`] : []),
    ...kept
      .slice(0, shownFiles)
      .map((path) => `no image could be read from ${show(path, 4096)}: the file stays until image gc`),
    ...(kept.length > shownFiles ? [`nor from ${kept.length - shownFiles} more files`] : []),
  ];
  return lines.map((line) => `warning: ${line}\n`).join('');
}

export const ociIndexText =
  'warning: index.json could not be read and was written again; the old file is kept beside it, but gc no longer keeps' +
  ' what other tools had listed in it\n';

/** @param unlisted - the repair has taken the image off the list. */
export function failureOf(damage: Damage, store: Store, unlisted: boolean): Failure {
  const isArchive = damage.kind === 'blob' && damage.images.length === 0 && damage.archiveOf.length > 0;
  const title = show(damagedTitle(damage), 1000);
  const blob = damage.kind === 'image' ? 'its blob' : `${isArchive ? 'the archive' : 'a blob'} of ${title}`;
  const outcome = isArchive ? '; no longer kept' : '; taken off the list';
  const what = `${blob} is damaged: ${damage.problem}${unlisted ? outcome : ''}`;
  const error = new ImageError('STORE_CORRUPT', what, { path: damagedPath(store, damage) });
  return { asked: damagedId(damage), error };
}

/** The most images to name that need one blob; others are only counted. */
const shownImages = 4;

function damagedId(damage: Damage): string {
  return damage.kind === 'image' ? idText({ kind: 'image', id: damage.image.imageId }) : damage.digest;
}

function damagedPath(store: Store, damage: Damage): string {
  return damage.kind === 'image' ? store.blobPath(damage.image.imageId) : store.digestPath(damage.digest);
}

/** The image of a damage, or the images that need the blob. */
function damagedTitle(damage: Damage): string {
  if (damage.kind === 'image') return imageTitle(damage.image);
  const titles = [...damage.images.map(({ reference }) => reference), ...damage.archiveOf.map(imageTitle)];
  if (titles.length === 0) return 'no image';
  const references = titles.slice(0, shownImages);
  const more = titles.length - references.length;
  return [...references, ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}
