import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';

import type { ExecutionContext } from 'ava';

import { showPlace } from '../../src/lists/list.ts';
import { readList } from '../../src/lists/read-list.ts';

type Environment = Readonly<Record<string, string>>;

/** Reads a list from files in a directory of its own: the first is the list. */
export async function readFiles(
  t: ExecutionContext,
  files: Readonly<Record<string, string>>,
  environment: Environment = {},
) {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-lists-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  const [path = ''] = Object.keys(files);
  return { directory, ...(await readAt(path, directory, environment)) };
}

/** Reads a list from standard input. */
export async function readText(text: string, type = '', environment: Environment = {}) {
  const path = type === '' ? '-' : `${type}:-`;
  const source = { path, directory: '/here', input: Readable.from([Buffer.from(text)]), environment };
  return summary(await readList(source, AbortSignal.timeout(60_000)));
}

export async function readAt(path: string, directory: string, environment: Environment = {}) {
  const source = { path, directory, input: Readable.from([]), environment };
  return summary(await readList(source, AbortSignal.timeout(60_000)));
}

function summary({ entries, errors, notes, registries }: Awaited<ReturnType<typeof readList>>) {
  return {
    /** What is to be asked for. */
    images: entries.flatMap((entry) => (entry.kind === 'image' ? [entry.image] : [])),
    /** Repositories, with the tags that are meant. */
    tags: entries.flatMap((entry) => (entry.kind === 'tags' ? [[entry.repository, entry.selection] as const] : [])),
    entries,
    places: entries.map(({ place: { line, column } }) => `${line}:${column}`),
    errors: errors.map(({ message }) => message),
    notes: notes.map(({ place, text }) => `${showPlace(place)}: ${text}`),
    registries,
  };
}
