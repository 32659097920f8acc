import { chmodSync, closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

import { hasCode, ImageError } from '../../../errors.ts';
import { show } from '../../../image/show.ts';
import { openOwnFileSync } from '../../../system/files.ts';
import { whenFilesAreFreeSync } from '../../../system/spare-files.ts';
import { syncDirectorySync } from '../../../system/write-files.ts';
import { generationAnnotation, type OciDescriptor, readOciIndexSync, stampAt } from '../oci-index.ts';
import type { Layout } from '../protocol.ts';
import { formatOciIndex, type OwnDescriptor, shownFacts, shownName } from './format-oci-index.ts';
import { withTransaction } from './transaction.ts';

/** Attempts, when another tool writes the file at the same time. */
const attempts = 5;
/** In a file that we wrote, the first bytes contain the generation. */
const headBytes = 512;
const shownGeneration = new RegExp(`"${generationAnnotation.replace('.', '\\.')}":"([^"]*)"`);

/** `index.json`, which lists the registry images for other tools. */
export type OciIndexFile = {
  /** Whether the file may differ from the index. Reads only its first bytes. */
  isStale(): boolean;
  /**
   * Replaces the file by one that lists the registry images and the entries of other tools. The write lock of the index
   * keeps other longshore processes from doing so at the same time.
   *
   * @throws STORE_CORRUPT when the old file cannot be read, STORE_BUSY when other tools keep writing it.
   */
  write(): void;
  /** The descriptors of other tools. @throws STORE_CORRUPT when the file cannot be read. */
  foreign(): readonly OciDescriptor[];
  /** Identifies the state of the file. */
  stamp(): string;
};

/** @param owner - of this process: the new file is written in its directory first. */
export function createOciIndexFile(
  db: DatabaseSync,
  { dir, ociIndex, tmp, fileMode }: Layout,
  owner: string,
): OciIndexFile {
  const temporary = join(tmp, owner, 'index.json');
  const generation = db.prepare('SELECT lineage, number FROM generation');
  const known = db.prepare('SELECT 1 FROM descriptors WHERE digest = ? AND name = ?');
  const own = db.prepare(`
    SELECT ${shownName} name, coalesce(oci, manifest) digest, coalesce(oci_type, manifest_type) mediaType,
      coalesce(oci_size, manifest_size) size, os, architecture, variant, generation,
      ${shownFacts} facts
    FROM registry_images ORDER BY seq`);
  const forgetGone = db.prepare(`
    DELETE FROM descriptors WHERE NOT EXISTS
      (SELECT 1 FROM registry_images WHERE ${shownName} = name AND coalesce(oci, manifest) = digest)`);

  const current = (): { readonly lineage: string; readonly number: number } => {
    const row = generation.get();
    return { lineage: String(row?.['lineage']), number: Number(row?.['number']) };
  };

  const isForeign = ({ digest, name }: OciDescriptor): boolean =>
    name === undefined || known.get(digest.replace(/^sha256:/, ''), name) === undefined;

  /** @returns false when another tool has written the file in the meantime. */
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
      if (stampAt(ociIndex) !== (found?.stamp ?? '')) return false;
      renameSync(temporary, ociIndex);
    } finally {
      rmSync(temporary, { force: true });
    }
    syncDirectorySync(dir);
    return true;
  };

  return {
    stamp: () => stampAt(ociIndex),
    isStale: () => {
      const { lineage, number } = current();
      return number > 0 && shownGeneration.exec(readHead(ociIndex))?.[1] !== `${lineage}.${number}`;
    },
    foreign: () => readOciIndexSync(ociIndex)?.manifests.filter(isForeign) ?? [],
    write: () =>
      withTransaction(db, 'NORMAL', () => {
        for (let attempt = 0; attempt < attempts; attempt += 1) {
          // A row of `descriptors` is deleted only once its entry is gone from the file: otherwise the entry would be
          // taken for one of another tool.
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

/** Empty when the file cannot be read. */
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

/** While rows change, the file is written once a second, or less often if writing takes long. */
const gapMs = 1_000;
const restFactor = 10;

/** Updates index.json soon after the index has changed. */
export type DebouncedWriter = {
  /** Schedules a write. */
  mark(): void;
  /** Writes now, if a write is scheduled. @throws what `write` throws; the write stays scheduled. */
  flush(): void;
  /** As `flush`, but failures are ignored: the next `mark`, or the next process, tries again. */
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
      // The error is reported by `flush`, if it is called.
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
 * @param setAsideDamagedAtMs - when given, a file that cannot be read is renamed, with this time in its name. Blobs
 * that it listed for other tools are no longer protected, but people can still read it.
 * @throws STORE_CORRUPT when the file cannot be read and is not to be set aside; STORE_BUSY.
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
