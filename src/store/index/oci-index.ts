import { type BigIntStats, closeSync, fstatSync, lstatSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { ImageError } from '../../errors.ts';
import { show } from '../../image/show.ts';
import { errnoOf, isNoEntry } from '../../system/errno.ts';
import { openOwnFile, openOwnFileSync, readAtMost, stampText } from '../../system/files.ts';

/** An `index.json` larger than this is not read. It has room for some 400 000 of our images. */
const ociIndexBytes = 256 * 1024 * 1024;

export const refName = 'org.opencontainers.image.ref.name';
export const containerdName = 'io.containerd.image.name';
/** Facts of an image as JSON: `reference`, `index`, `referrers`. */
export const factsAnnotation = 'longshore.facts';
export const generationAnnotation = 'longshore.generation';

type Json = Readonly<Record<string, unknown>>;

/** An `index.json` as parsed, whichever tool wrote it. */
export type OciIndex = {
  /** All members of the document. */
  readonly document: Json;
  readonly manifests: readonly OciDescriptor[];
  /** The generation of the index that the file shows, if longshore wrote it. */
  readonly generation: string | undefined;
};

/** An entry of `manifests`, the two values that identify it, and what only our entries have. */
export type OciDescriptor = {
  readonly entry: Json;
  readonly digest: string;
  readonly name: string | undefined;
  /** The text of `factsAnnotation`. */
  readonly facts: string | undefined;
};

/** @throws Error for text that is no OCI index; `unreadable` adds the path of the file. */
function parseOciIndex(text: string): OciIndex {
  const document = requireObject(JSON.parse(text));
  const manifests = document['manifests'] ?? []; // Go writes an empty list as null
  if (document['schemaVersion'] !== 2 || !Array.isArray(manifests)) throw new Error('it is no index of version 2');
  return {
    document,
    manifests: manifests.map(parseDescriptor),
    generation: annotationOf(document, generationAnnotation),
  };
}

/** Whether the file has entries, but none of ours: then the blobs in the layout are not ours either. */
export function isOfOtherTools({ manifests, generation }: OciIndex): boolean {
  return generation === undefined && manifests.length > 0 && !manifests.some(bearsBothNames);
}

/** Only our entries have the complete reference under both names. */
function bearsBothNames({ entry, name }: OciDescriptor): boolean {
  return name !== undefined && annotationOf(entry, containerdName) === name;
}

/**
 * The entries of our images in `index.json` and in the set-aside copies of it in the same directory. A damaged file
 * gives the entries that are complete. The current file comes first, then the copies from the newest to the oldest.
 */
export async function salvageEntries(path: string): Promise<readonly OciDescriptor[]> {
  const [directory, name] = [dirname(path), basename(path)];
  const names = (await readdir(directory)).filter((entry) => entry.startsWith(`${name}.damaged-`));
  const entries: OciDescriptor[] = [];
  for (const file of [name, ...names.sort().reverse()]) {
    const text = await readText(join(directory, file)).catch(() => ''); // unreadable: no entries
    entries.push(...findOwnEntries(text));
  }
  return entries;
}

/** Our own entries in the text of an index, which may be damaged. */
function findOwnEntries(text: string): readonly OciDescriptor[] {
  return entriesIn(text).filter(bearsBothNames);
}

function entriesIn(text: string): readonly OciDescriptor[] {
  try {
    return parseOciIndex(text).manifests;
  } catch {
    return text.split(entryBegins).slice(1).flatMap(parseEntry); // it is damaged
  }
}

/** Every entry that longshore or a Go program writes begins like this. It ends with its last member, an object. */
const entryBegins = '{"mediaType":';

function parseEntry(rest: string): readonly OciDescriptor[] {
  const end = rest.indexOf('}}');
  if (end === -1) return [];
  try {
    return [parseDescriptor(JSON.parse(entryBegins + rest.slice(0, end + 2)))];
  } catch {
    return []; // damaged
  }
}

function parseDescriptor(value: unknown): OciDescriptor {
  const entry = requireObject(value);
  const { digest } = entry;
  if (typeof digest !== 'string') throw new Error('a descriptor has no digest');
  return { entry, digest, name: annotationOf(entry, refName), facts: annotationOf(entry, factsAnnotation) };
}

function annotationOf({ annotations }: Json, key: string): string | undefined {
  const value = requireObject(annotations ?? {})[key];
  return typeof value === 'string' ? value : undefined;
}

function requireObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('an object is missing');
  return value as Json; // a JSON object
}

/** `index.json` as parsed; the stamp identifies this state of the file. */
type OciIndexFile = OciIndex & { readonly text: string; readonly stamp: string };

/** Undefined when it does not exist. @throws STORE_CORRUPT when it cannot be read. */
export async function readOciIndex(path: string): Promise<OciIndex | undefined> {
  try {
    return parseOciIndex(await readText(path));
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw unreadable(path, error);
  }
}

/** As readOciIndex, for a thread that may block. */
export function readOciIndexSync(path: string): OciIndexFile | undefined {
  try {
    const file = readBoundedSync(path, ociIndexBytes);
    return file && { ...parseOciIndex(file.text), text: file.text, stamp: stampText(file.stat) };
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** The entries of other tools are then unknown. */
function unreadable(path: string, cause: unknown): ImageError {
  const why = cause instanceof Error ? cause.message : '';
  const message = `${show(path, 1024)} cannot be read: ${show(why)}: repair with "longshore image verify --repair"`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
}

async function readText(path: string): Promise<string> {
  await using file = await openOwnFile(path);
  const bytes = await readAtMost(file, ociIndexBytes + 1);
  if (bytes.length > ociIndexBytes) throw tooLarge(ociIndexBytes);
  return bytes.toString();
}

/** Identifies the state of a file; empty when it does not exist. */
export function stampAt(path: string): string {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? stampText(stat) : '';
}

type ReadFile = { readonly text: string; readonly stat: BigIntStats };

/**
 * Reads a regular file that another tool may have written. Links are not followed.
 *
 * @returns undefined when it does not exist.
 */
export function readBoundedSync(path: string, maxBytes: number): ReadFile | undefined {
  const file = openIfThere(path);
  if (file === undefined) return undefined;
  try {
    const stat = fstatSync(file, { bigint: true });
    if (stat.size > maxBytes) throw tooLarge(maxBytes);
    return { text: readFileSync(file, 'utf8'), stat };
  } finally {
    closeSync(file);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openOwnFileSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function tooLarge(maxBytes: number): Error {
  return new Error(`it has more than ${maxBytes} bytes`);
}
