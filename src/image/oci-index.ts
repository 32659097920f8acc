import { ImageError } from '../errors.ts';
import { show } from './show.ts';

/** Bytes of an `index.json` that is read: some 400 000 images of ours. */
export const ociIndexBytes = 256 * 1024 * 1024;

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

/** @throws Error for what is none: `unreadableOciIndex` says so of the file. */
export function parseOciIndex(text: string): OciIndex {
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

/** The entries that are ours in the text of an index, which need not be whole. */
export function findOwnEntries(text: string): readonly OciDescriptor[] {
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

/** What other tools keep is then not known. */
export function unreadableOciIndex(path: string, cause: unknown): ImageError {
  const why = cause instanceof Error ? cause.message : '';
  const message = `${show(path, 1024)} cannot be read: ${show(why)}: repair with "longshore image verify --repair"`;
  return new ImageError('STORE_CORRUPT', message, { path }, { cause });
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
