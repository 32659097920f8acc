import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';

import type { ExecutionContext } from 'ava';

import {
  type ActionOptions,
  createFinder,
  type ImportSource,
  openStore,
  type Outcome,
  type Store,
} from '../../src/internal.ts';
import type { ImportCall } from '../../src/options.ts';
import type { Files } from './carried.ts';
import { sharedPool } from './shared-pool.ts';
import { temporaryDirectory } from './stored.ts';

export type Importing = {
  /** Imports a tar through a pipe, or a layout or a file by its path. */
  take(this: void, from: Uint8Array | string, call?: ImportCall & Partial<ActionOptions>): Promise<readonly Outcome[]>;
  /** Names and digests of the registry images that are listed. */
  listed(this: void): Promise<Readonly<Record<string, string>>>;
  /** Digests of blobs, listed or not. */
  blobs(this: void): Promise<readonly string[]>;
  readonly store: Store;
  readonly directory: string;
  readonly warnings: readonly string[];
};

/** A store of its own, in which signatures are not looked at unless that is asked for. */
export async function openImporting(t: ExecutionContext, base: Partial<ActionOptions> = {}): Promise<Importing> {
  const directory = await temporaryDirectory(t);
  const store = await openStore({ dir: join(directory, 'store'), writesLittle: true });
  t.teardown(() => store.close());
  const warnings: string[] = [];
  return {
    ...{ store, directory, warnings },
    async take(from, { images, as, signal, onOutcome, ...options } = {}) {
      await using finder = createFinder({
        ...{ store, pool: sharedPool, insecure: { image: true }, keep: 'oci' },
        onEvent: (event) => void (event.type === 'warning' && warnings.push(event.message)),
        ...base,
        ...options,
      });
      return (await finder.importImages(sourceOf(from), { images, as, signal, onOutcome })).outcomes;
    },
    async listed() {
      const all = await Array.fromAsync(store.registryImages());
      return Object.fromEntries(all.map(({ reference, manifest }) => [reference, manifest.digest]));
    },
    blobs: async () => (await Array.fromAsync(store.blobRows())).map(({ digest }) => digest).sort(),
  };
}

function sourceOf(from: Uint8Array | string): ImportSource {
  if (typeof from !== 'string') return { kind: 'pipe', bytes: Readable.from(piecesOf(from)), name: 'standard input' };
  return { kind: /\.(?:tar|aci)$/.test(from) ? 'file' : 'directory', path: from };
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 700) yield bytes.subarray(at, at + 700);
}

/** Writes files into a directory. @returns its path */
export async function writeLayout(directory: string, files: Files): Promise<string> {
  const layout = join(directory, 'layout');
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(layout, name)), { recursive: true });
    await writeFile(join(layout, name), content);
  }
  return layout;
}

/** The reference and the status, or the code of the error, of each. */
export function statusOf(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.map(({ reference, status, error }) => `${reference} ${error?.code ?? status}`);
}
