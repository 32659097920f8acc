import { availableParallelism } from 'node:os';

import {
  asImageError,
  hasCode,
  ImageError,
  lostBlobs,
  openPool,
  relistImages,
  resolveEntries,
  show,
  verifyImages,
  type Damage,
  type Relisted,
  type Store,
  type StoredImage,
  type VerifyRequest,
} from '../../index.ts';
import { parseCount } from '../options/count.ts';
import { isOn, valueOf } from '../options/read.ts';
import { write } from '../output/write.ts';
import { oneOf } from './choice.ts';
import { openRefetch } from './refetch.ts';
import type { Failure, Subcommand } from './subcommand.ts';
import {
  damagedId,
  damagedPath,
  damagedTitle,
  formatLostJson,
  formatLostText,
  formatVerifyJson,
  formatVerifyText,
} from './verify-report.ts';

/** Writes the report; what is damaged and stays so is a failure, and so is a request that names no image. */
export const verify: Subcommand = (line, { stdout, stderr, signal, environment }) => {
  const asked = line.operands.map(({ text }) => text);
  const repairs = isOn(line, 'repair');
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  const workers = valueOf(line, 'workers', parseCount) ?? availableParallelism();
  return {
    /** Without an index nothing tells what was there: each blob is named. */
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

/** Files that are named when they are kept; the rest is counted. */
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

/** Without a repair it is only said what is wrong with index.json: other tools find nothing then, and gc leaves all blobs. */
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
