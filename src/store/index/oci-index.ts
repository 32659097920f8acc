import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type BigIntStats, closeSync, fstatSync, lstatSync, readFileSync } from 'node:fs';

import { ImageError } from '../../errors.ts';
import { show } from '../../image/show.ts';
import { errnoOf, isNoEntry } from '../../system/errno.ts';
import { openOwnFile, openOwnFileSync, readAtMost } from '../../system/files.ts';

/** Bytes of an `index.json` that is read: some 400 000 images of ours. */
const ociIndexBytes = 256 * 1024 * 1024;

export const refName = 'org.opencontainers.image.ref.name';
export const containerdName = 'io.containerd.image.name';
export const generationAnnotation = 'longshore.generation';

type Json = Readonly<Record<string, unknown>>;

/** What an `index.json` says, by whomever it was written. */
export type OciIndex = {
  /** All members of the document. */
  readonly document: Json;
  readonly manifests: readonly OciDescriptor[];
  /** Which of our generations it shows, if we wrote it. */
  readonly generation: string | undefined;
};

/** An entry of `manifests`, and what tells it from others. */
export type OciDescriptor = { readonly entry: Json; readonly digest: string; readonly name: string | undefined };

/** @throws Error for what is none: `unreadable` says so of the file. */
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

/** Whether it names something, but nothing as we do: what lies in the layout is not ours then. */
export function isOfOtherTools({ manifests, generation }: OciIndex): boolean {
  return generation === undefined && manifests.length > 0 && !manifests.some(bearsBothNames);
}

/** As our entries do, and those of no other tool: both names are the whole one. */
function bearsBothNames({ entry, name }: OciDescriptor): boolean {
  return name !== undefined && annotationOf(entry, containerdName) === name;
}

/**
 * What `index.json` and those that were set aside in the same directory say of our images, also where they are damaged: every
 * entry that is whole. The present one comes first, then the latest of the others.
 */
export async function salvageEntries(path: string): Promise<readonly OciDescriptor[]> {
  const [directory, name] = [dirname(path), basename(path)];
  const names = (await readdir(directory)).filter((one) => one.startsWith(`${name}.damaged-`));
  const entries: OciDescriptor[] = [];
  for (const one of [name, ...names.sort().reverse()]) {
    const text = await readText(join(directory, one)).catch(() => ''); // it says nothing
    entries.push(...findOwnEntries(text));
  }
  return entries;
}

/** The entries that are ours in the text of an index, which need not be whole. */
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

/** So does every entry begin that Go programs and we write; it ends with the last of its members, an object. */
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
  return { entry, digest, name: annotationOf(entry, refName) };
}

function annotationOf({ annotations }: Json, key: string): string | undefined {
  const value = requireObject(annotations ?? {})[key];
  return typeof value === 'string' ? value : undefined;
}

function requireObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('an object is missing');
  return value as Json; // what JSON.parse makes of an object
}

/** `index.json` as it stands; the stamp is that of this state of the file. */
type OciIndexFile = OciIndex & { readonly text: string; readonly stamp: string };

/** Undefined where there is none. @throws STORE_CORRUPT when it cannot be read. */
export async function readOciIndex(path: string): Promise<OciIndex | undefined> {
  try {
    return parseOciIndex(await readText(path));
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw unreadable(path, error);
  }
}

/** The same, in a thread of its own. */
export function readOciIndexSync(path: string): OciIndexFile | undefined {
  try {
    const file = readBoundedSync(path, ociIndexBytes);
    return file && { ...parseOciIndex(file.text), text: file.text, stamp: formatStamp(file.stat) };
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** What other tools keep is then not known. */
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

/** Tells one state of a file from another; empty when it is not there. */
export function stampOf(path: string): string {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? formatStamp(stat) : '';
}

function formatStamp({ size, mtimeNs, ctimeNs, ino }: BigIntStats): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino}`;
}

type ReadFile = { readonly text: string; readonly stat: BigIntStats };

/**
 * Reads a regular file that another tool may have written. No link is followed.
 *
 * @returns undefined when it is not there.
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
