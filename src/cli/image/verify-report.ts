import {
  isImageId,
  shortImageId,
  show,
  type Damage,
  type LostBlob,
  type Store,
  type VerifyReport,
} from '../../index.ts';
import { idText, imageTitle, sizeText } from './image-fields.ts';
import { toSafeJson } from './json-text.ts';
import { formatTable } from './table.ts';

/** Images that need one blob and are named; the rest is counted. */
const shownImages = 4;

/** @param relisted - images that are listed again. */
export function formatVerifyJson({ checked, damaged, unreferenced }: VerifyReport, relisted: number): string {
  const rows = damaged.map((damage) => {
    const { problem, repaired } = damage;
    const id = damage.kind === 'image' ? { imageID: damage.image.imageId } : { digest: damage.digest };
    return { ...id, problem, repaired };
  });
  return `${toSafeJson({ schema: 'longshore.verify/1', checked, damaged: rows, unreferenced, ...(relisted > 0 && { relisted }) })}\n`;
}

export function formatVerifyText({ checked, checkedBlobs, bytes, damaged, unreferenced }: VerifyReport): string {
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

/** Of a store whose index is lost: nothing was hashed, since nothing says what should be there. */
export function formatLostJson(lost: readonly LostBlob[]): string {
  const rows = lost.map(({ id }) => ({
    ...(isImageId(id) ? { imageID: id } : { digest: id }),
    problem: 'index-lost',
    repaired: false,
  }));
  return `${toSafeJson({ schema: 'longshore.verify/1', checked: 0, damaged: rows, unreferenced: lost.length })}\n`;
}

export function formatLostText(lost: readonly LostBlob[]): string {
  const bytes = lost.reduce((sum, { size }) => sum + size, 0);
  const rows = lost.map(({ id, size }) => [isImageId(id) ? shortImageId(id) : id, sizeText(size), 'index-lost']);
  const blobs = lost.length === 1 ? '1 blob' : `${lost.length} blobs`;
  return `${formatTable(rows)}the index is lost: ${blobs} (${sizeText(bytes)}) not listed\n`;
}

export function damagedId(damage: Damage): string {
  return damage.kind === 'image' ? idText({ kind: 'image', id: damage.image.imageId }) : damage.digest;
}

export function damagedPath(store: Store, damage: Damage): string {
  return damage.kind === 'image' ? store.blobPath(damage.image.imageId) : store.digestPath(damage.digest);
}

/** What it belongs to. */
export function damagedTitle(damage: Damage): string {
  if (damage.kind === 'image') return imageTitle(damage.image);
  if (damage.images.length === 0) return 'no image';
  const references = damage.images.slice(0, shownImages).map(({ reference }) => reference);
  const more = damage.images.length - references.length;
  return [...references, ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}
