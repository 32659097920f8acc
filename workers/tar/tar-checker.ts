import type { TarEntry } from './extensions.ts';
import { checkBelowRootfs, createPathSet, type Standing, topPath, trimPath } from './paths.ts';
import { invalid, overLimit, type Suspect } from './refuse.ts';
import type { EntryBody } from './tar-frames.ts';
import { createTarReader } from './tar-reader.ts';

export type CheckerLimits = {
  readonly manifestBytes: number;
  readonly headerBytes: number;
  readonly entries: number;
  readonly pathBytes: number;
};

export type ArchiveChecker<Manifest> = {
  push(chunk: Uint8Array): void;
  /** Ends the archive. @returns the result of `readManifest` */
  end(): Manifest;
};
type Content = Omit<EntryBody, 'size'>;

/** Returns the consumer of an entry's content. The path is `rootfs` or below it. The entry has passed every check. */
export type OnChecked = (entry: TarEntry, path: string) => Content | undefined;

/**
 * Checks that a tar is an image: it has one manifest and one rootfs, everything else is below rootfs, each path occurs
 * once, and nothing misleads an extractor. The memory needed does not depend on the size of the archive.
 *
 * @param readManifest - gets the bytes of the manifest as soon as they are complete; what it throws ends the check.
 * @param onEntry - gets all other entries.
 * @returns a checker whose calls throw ARCHIVE_INVALID and LIMIT_EXCEEDED. Directories that only occur in the paths of
 * others count as entries.
 * @see docs/rules.md A3 to A12
 */
export function createArchiveChecker<Manifest>(
  limits: CheckerLimits,
  readManifest: (bytes: Buffer, entry: TarEntry) => Manifest,
  onEntry: OnChecked = () => undefined,
): ArchiveChecker<Manifest> {
  const paths = createPathSet();
  let manifest: { readonly value: Manifest } | undefined;

  const reader = createTarReader(limits.headerBytes, (entry) => {
    checkLength(entry.path, limits.pathBytes);
    checkLength(entry.linkPath, limits.pathBytes);
    const path = trimPath(entry.path);
    const content = checkEntry(entry, path);
    if (paths.size > limits.entries) throw overLimit('entries', limits.entries, 'too many entries in the archive');
    return content;
  });

  return {
    push: (chunk) => reader.push(chunk),
    end() {
      reader.end();
      if (!manifest) throw invalid('A8', 'no manifest in it');
      if (!paths.get('rootfs')) throw invalid('A9', 'no rootfs in it');
      return manifest.value;
    },
  };

  function checkEntry(entry: TarEntry, path: string): Content | undefined {
    switch (path) {
      case topPath:
        if (entry.kind !== 'directory') throw invalid('A10', 'a top of the archive that is no directory', entry);
        addEntry(path, 'directory', entry);
        return undefined;
      case 'manifest':
        if (paths.get(path)) throw invalid('A8', 'a second manifest', entry);
        addEntry(path, 'file', entry);
        return captureManifest(entry);
      case 'rootfs':
        if (paths.get(path)) throw invalid('A9', 'a second rootfs', entry);
        if (entry.kind !== 'directory') throw invalid('A9', 'a rootfs that is no directory', entry);
        addEntry(path, 'directory', entry);
        return onEntry(entry, path);
      default:
        checkBelowRootfs(path, entry);
        addParents(path, entry);
        addEntry(path, readStanding(entry), entry);
        return onEntry(entry, path);
    }
  }

  function captureManifest(entry: TarEntry): Content {
    if (entry.kind !== 'file' || entry.path.endsWith('/'))
      throw invalid('A8', 'a manifest that is no regular file', entry);
    if (entry.size > limits.manifestBytes) {
      throw overLimit('manifest', limits.manifestBytes, `an image manifest of ${entry.size} bytes`);
    }
    const pieces: Buffer[] = [];
    return {
      piece: (piece) => pieces.push(Buffer.from(piece)),
      done: () => (manifest = { value: readManifest(Buffer.concat(pieces), entry) }),
    };
  }

  function addEntry(path: string, standing: Standing, suspect: Suspect): void {
    const known = paths.get(path);
    if (known === 'implied' && standing !== 'directory')
      throw invalid('A12', `a ${standing} with entries below it`, suspect);
    if (known !== undefined && known !== 'implied') throw invalid('A11', 'a path that is there twice', suspect);
    paths.set(path, standing);
  }

  /** Every parent of an entry must be a directory. It may have an entry before or after this one, or none. */
  function addParents(path: string, suspect: Suspect): void {
    for (let end = path.lastIndexOf('/'); end > 'rootfs'.length; end = path.lastIndexOf('/', end - 1)) {
      const parent = path.slice(0, end);
      const known = paths.get(parent);
      if (known === 'directory' || known === 'implied') return;
      if (known !== undefined) throw invalid('A12', `an entry below a ${known}`, suspect);
      paths.set(parent, 'implied');
    }
  }

  function readStanding(entry: TarEntry): Standing {
    switch (entry.kind) {
      case 'directory':
        return 'directory';
      case 'symlink':
        return 'symlink';
      case 'file':
        if (entry.path.endsWith('/')) throw invalid('A12', 'a file that some readers take for a directory', entry);
        return 'file';
      case 'hard-link':
        return readTarget(entry);
      case 'character-device':
      case 'block-device':
      case 'fifo':
        return 'file';
    }
  }

  /** A hard link counts as the file it refers to: a second name of a symlink is a symlink. */
  function readTarget(entry: TarEntry): Standing {
    const target = trimPath(entry.linkPath);
    checkBelowRootfs(target, entry);
    const standing = paths.get(target);
    if (standing === 'file' || standing === 'symlink') return standing;
    throw invalid('A12', 'a hard link to what is no earlier file', entry);
  }
}

function checkLength(path: string, maximum: number): void {
  if (path.length > maximum) throw overLimit('path', maximum, `a path of ${path.length} bytes in the archive`);
}
