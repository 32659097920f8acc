import { availableParallelism } from 'node:os';

import {
  asImageError,
  blobsOf,
  type Entry,
  hasCode,
  lostBlobs,
  openPool,
  relistImages,
  resolveEntries,
  show,
  type Store,
  verifyImages,
  type VerifyRequest,
} from '../../../internal.ts';
import { readConfig } from '../../config/read-config.ts';
import { usageError } from '../../options/option.ts';
import { checksOf } from '../../options/policy.ts';
import { directoriesOf, isOn, valueOf } from '../../options/read.ts';
import { parseCount } from '../../options/values.ts';
import { write } from '../../output/write.ts';
import { oneOf } from './options.ts';
import { openRefetch } from './refetch.ts';
import type { Failure, Subcommand } from './subcommand.ts';
import { failureOf, formatLost, formatVerified, ociIndexText, relistedText } from './verify-report.ts';
import { verifySignatures } from './verify-signatures.ts';

/** Writes the report. Unrepaired damage is a failure, and so is a request that matches no image. */
export const verify: Subcommand = (line, io) => {
  const { stdout, stderr, signal, environment } = io;
  const asked = line.operands.map(({ text }) => text);
  const repairs = isOn(line, 'repair');
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  if (isOn(line, 'signatures')) {
    if (repairs) throw usageError('--signatures and --repair usage mutually exclusive');
    return { access: 'read', asked, run: (store) => verifySignatures(store, line, io) };
  }
  const workers = valueOf(line, 'workers', parseCount) ?? availableParallelism();
  return {
    access: repairs ? 'repair' : 'read',
    asked,
    /** Without an index it is unknown which images there were: each blob is named. */
    async failed(error) {
      if (repairs || !hasCode(error, 'STORE_CORRUPT')) throw error;
      const lost = await Array.fromAsync(lostBlobs(error.details.path));
      if (lost.length === 0) throw error;
      await write(stdout, formatLost(lost, output));
      return [{ asked: error.details.path, error }];
    },
    async run(store, setAside) {
      await using pool = openPool({ workers, sessionsPerWorker: 2 });
      const warn = (message: string): void => void stderr.write(`warning: ${show(message, 1000)}\n`);
      const config = await readConfig(directoriesOf(line, environment));
      const checks = repairs ? await checksOf(line, config) : undefined;
      checks?.warnings.forEach(warn);
      await using refetch = openRefetch(store, line, environment, { config, policy: checks?.policy, onWarning: warn });
      const changes = repairs && !store.readOnly;
      const relisted = changes ? await relistImages({ store, pool }, workers, signal) : undefined;
      if (relisted) await write(stderr, relistedText(relisted, setAside));
      const keepsBlobs = setAside !== undefined || (relisted?.count ?? 0) > 0 || (relisted?.kept ?? []).length > 0;
      const repair = changes ? { nowMs: Date.now(), refetch, keepsBlobs } : undefined;
      const failures: Failure[] = [];
      if (!repair && asked.length === 0) {
        await store.checkIndex(); // a repair did so when it opened the store
        failures.push(...(await ociIndexFailures(store)));
      }
      const what = asked.length === 0 ? everything(store) : await named(store, asked, failures);
      const request = {
        ...what,
        width: 2 * workers,
        ...(repair && { repair }),
        ...(relisted && { sound: relisted.images }),
      };
      const report = await verifyImages({ store, pool }, request, signal);
      if (report.ociIndexSetAside) await write(stderr, ociIndexText);
      await write(stdout, formatVerified(report, relisted?.count ?? 0, output));
      const bad = report.damaged.filter(({ repaired }) => !repaired);
      return [...failures, ...bad.map((damage) => failureOf(damage, store, repairs))];
    },
  };
};

type Asked = Pick<VerifyRequest, 'images' | 'blobs'>;

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
  const entries: Entry[] = [];
  for (const text of asked) {
    try {
      entries.push(...(await resolveEntries(store, text)));
    } catch (error) {
      failures.push({ asked: text, error: asImageError(error) });
    }
  }
  const { images, digests } = await blobsOf(store, entries);
  return { images, blobs: blobsAmong(store, digests) };
}

async function* blobsAmong(store: Store, digests: ReadonlySet<string>): Asked['blobs'] {
  if (digests.size === 0) return;
  for await (const blob of store.blobRows()) if (digests.has(blob.digest)) yield blob;
}
