import { spawnSync } from 'node:child_process';

import type { ExtendedAttributes } from '../tar/pax.ts';

/** Sets extended attributes, of many files at once. */
export type XattrWriter = {
  /** @param path - relative to the directory; latin1 text. */
  add(path: string, xattrs: ExtendedAttributes): void;
  /** Sets what was added. */
  flush(): void;
};

const timeout = 60_000;

/** About the system that they were read on: SELinux's labels, NFS's access lists, what overlayfs keeps for itself. */
const foreign = /^(?:security\.selinux|system\.nfs4_acl|(?:trusted|user)\.overlay\..*)$/;

/**
 * By the system's setfattr, which takes a dump of many files: Node has no call for it. It follows no symlink at the end of a
 * path; what is above must belong to nobody else meanwhile.
 *
 * @param maximumBytes - of a dump: when there is more it is flushed.
 * @param onFailure - gets the path of each file of which an attribute could not be set, more than once maybe.
 */
export function createXattrWriter(
  directory: string,
  maximumBytes: number,
  onFailure: (path: string) => void,
): XattrWriter {
  let dump: string[] = [];
  let bytes = 0;
  /** By the form in which setfattr names them. */
  let paths = new Map<string, string>();

  const flush = (): void => {
    if (dump.length === 0) return;
    const input = Buffer.from(dump.join(''), 'latin1');
    const { status, stderr } = spawnSync('env', ['LC_ALL=C', 'setfattr', '-h', '--restore=-'], {
      cwd: directory,
      input,
      encoding: 'latin1',
      stdio: ['pipe', 'ignore', 'pipe'],
      maxBuffer: maximumBytes * 2,
      timeout,
    });
    if (status !== 0) failedPaths(stderr, paths).forEach(onFailure);
    dump = [];
    bytes = 0;
    paths = new Map();
  };

  return {
    flush,
    add(path, xattrs) {
      const lines = Array.from(xattrs)
        .filter(([name]) => !foreign.test(name))
        .map(([name, value]) => `${quote(name, /[^\w.-]/g)}=${formatValue(value)}\n`);
      if (lines.length === 0) return;
      const text = `# file: ${quote(path, /[^\w./-]/g)}\n${lines.join('')}\n`;
      if (bytes + text.length > maximumBytes) flush();
      dump.push(text);
      bytes += text.length;
      paths.set(quote(path, /[\n\r\\]/g), path);
    },
  };
}

/** Those that the messages name, one a line; all when they name none. */
function failedPaths(stderr: string | null, paths: ReadonlyMap<string, string>): readonly string[] {
  const lines = (stderr ?? '').split('\n').map((line) => /^setfattr: (.*): [^:]*$/.exec(line)?.[1] ?? '');
  const named = lines.flatMap((line) => paths.get(line) ?? []);
  return named.length > 0 ? named : [...paths.values()];
}

function quote(text: string, special: RegExp): string {
  return text.replace(special, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function formatValue(value: string): string {
  return value === '' ? '""' : `0x${Buffer.from(value, 'latin1').toString('hex')}`;
}
