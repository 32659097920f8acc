import { chmodSync, closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { ImageError, hasCode } from '../../../errors.ts';
import { generationAnnotation, readOciIndexSync, stampOf, type OciDescriptor } from '../oci-index.ts';
import { show } from '../../../image/show.ts';
import { openOwnFileSync } from '../../../system/files.ts';
import { whenFilesAreFreeSync } from '../../../system/spare-files.ts';
import { syncDirectory } from './place-files.ts';
import { formatOciIndex, type OwnDescriptor } from './format-oci-index.ts';
import type { Layout } from '../protocol.ts';
import { withTransaction } from './transaction.ts';

/** How often it is begun again because another tool wrote the file meanwhile. */
const attempts = 5;
/** Of a file that we wrote these hold the generation. */
const headBytes = 512;
const shownGeneration = new RegExp(`"${generationAnnotation.replace('.', '\\.')}":"([^"]*)"`);

/** What other tools see of the store: `index.json`, a projection of the registry images in the index. */
export type OciIndexFile = {
  /** Whether the file may show something else than the index says: by its first bytes alone. */
  isStale(): boolean;
  /**
   * Replaces the file by one that names the registry images, beside what other tools had named. The write lock of the
   * index keeps other processes of ours from doing the same.
   *
   * @throws STORE_CORRUPT when the old one cannot be read, STORE_BUSY when other tools keep writing it.
   */
  write(): void;
  /** Descriptors of the file that are not ours. @throws STORE_CORRUPT when it cannot be read. */
  foreign(): readonly OciDescriptor[];
  /** Tells one state of the file from another. */
  stamp(): string;
};

/** @param owner - of this process: what is not complete yet lies in its directory. */
export function createOciIndexFile(
  db: DatabaseSync,
  { dir, ociIndex, tmp, fileMode }: Layout,
  owner: string,
): OciIndexFile {
  const temporary = join(tmp, owner, 'index.json');
  const generation = db.prepare('SELECT lineage, number FROM generation');
  const known = db.prepare('SELECT 1 FROM descriptors WHERE digest = ? AND name = ?');
  const own = db.prepare(`
    SELECT reference, coalesce(oci, manifest) digest, coalesce(oci_type, manifest_type) mediaType,
      coalesce(oci_size, manifest_size) size, os, architecture, variant, generation
    FROM registry_images ORDER BY seq`);
  const forgetGone = db.prepare(`
    DELETE FROM descriptors WHERE NOT EXISTS
      (SELECT 1 FROM registry_images WHERE reference = name AND coalesce(oci, manifest) = digest)`);

  const current = (): { readonly lineage: string; readonly number: number } => {
    const row = generation.get();
    return { lineage: String(row?.['lineage']), number: Number(row?.['number']) };
  };

  const isForeign = ({ digest, name }: OciDescriptor): boolean =>
    name === undefined || known.get(digest.replace(/^sha256:/, ''), name) === undefined;

  /** @returns false when another tool was faster. */
  const replace = (): boolean => {
    const found = readOciIndexSync(ociIndex);
    const { lineage, number } = current();
    const [, shown] = found?.generation?.split(`${lineage}.`) ?? [];
    const text = formatOciIndex({
      document: found?.document ?? {},
      foreign: found?.manifests.filter(isForeign) ?? [],
      own: own.all() as OwnDescriptor[], // the columns of a STRICT table
      shownGeneration: Number(shown ?? 0),
      generation: `${lineage}.${number}`,
    });
    if (text === found?.text) return true;
    try {
      writeSynced(temporary, text, fileMode);
      if (stampOf(ociIndex) !== (found?.stamp ?? '')) return false;
      renameSync(temporary, ociIndex);
    } finally {
      rmSync(temporary, { force: true });
    }
    syncDirectory(dir);
    return true;
  };

  return {
    stamp: () => stampOf(ociIndex),
    isStale: () => {
      const { lineage, number } = current();
      return number > 0 && shownGeneration.exec(readHead(ociIndex))?.[1] !== `${lineage}.${number}`;
    },
    foreign: () => readOciIndexSync(ociIndex)?.manifests.filter(isForeign) ?? [],
    write: () =>
      withTransaction(db, 'NORMAL', () => {
        for (let attempt = 0; attempt < attempts; attempt += 1) {
          // Only what is surely gone from the file is forgotten: the rest would pass for another tool's.
          if (replace()) return void forgetGone.run();
        }
        const message = `other tools keep writing ${show(ociIndex, 1024)}: try again`;
        throw new ImageError('STORE_BUSY', message, { path: ociIndex });
      }),
  };
}

function writeSynced(path: string, text: string, mode: number): void {
  const file = whenFilesAreFreeSync(() => openSync(path, 'wx'));
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  chmodSync(path, mode);
}

/** Empty when it cannot be read. */
function readHead(path: string): string {
  try {
    const file = openOwnFileSync(path);
    try {
      const head = Buffer.alloc(headBytes);
      return head.toString('latin1', 0, readSync(file, head));
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}

/** While rows change the file is written once a second, and less often where that takes long. */
const gapMs = 1_000;
const restFactor = 10;

/** Sees to it that index.json follows the index. */
export type DebouncedWriter = {
  /** Something has changed: it is written soon. */
  mark(): void;
  /** Writes now what is marked. @throws what `write` throws; it stays marked. */
  flush(): void;
  /** As flush, for callers whose work is done whether it can be written or not: the next mark or opening tries again. */
  tryFlush(): void;
};

export function createDebouncedWriter(write: () => void): DebouncedWriter {
  let marked = false;
  let timer: NodeJS.Timeout | undefined;
  let notBefore = -Infinity;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!marked) return;
    const startedAt = performance.now();
    try {
      write();
      marked = false;
    } finally {
      const endedAt = performance.now();
      notBefore = endedAt + Math.max(gapMs, restFactor * (endedAt - startedAt));
    }
  };
  const tryFlush = (): void => {
    try {
      flush();
    } catch {
      // Said by the flush that somebody asks for.
    }
  };

  return {
    flush,
    tryFlush,
    mark() {
      marked = true;
      timer ??= setTimeout(tryFlush, Math.max(0, notBefore - performance.now()));
    },
  };
}

/**
 * Writes index.json now.
 *
 * @param setAsideDamagedAtMs - when given, one that cannot be read gets another name, with this time in it: what other
 * tools had named there is not kept any more, but can still be looked up.
 * @throws STORE_CORRUPT when it cannot be read and stays, STORE_BUSY.
 */
export function writeOciIndex(
  { ociIndex }: Layout,
  indexFile: OciIndexFile,
  setAsideDamagedAtMs: number | undefined,
): void {
  try {
    indexFile.write();
  } catch (error) {
    if (setAsideDamagedAtMs === undefined || !hasCode(error, 'STORE_CORRUPT')) throw error;
    renameSync(ociIndex, `${ociIndex}.damaged-${setAsideDamagedAtMs}`);
    indexFile.write();
  }
}
