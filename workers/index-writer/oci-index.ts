import { lstatSync } from 'node:fs';

import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { readBounded } from './read-bounded.ts';

/** Some 400 000 images of ours. */
const maxBytes = 256 * 1024 * 1024;

export const refName = 'org.opencontainers.image.ref.name';
export const generationAnnotation = 'longshore.generation';

type Json = Readonly<Record<string, unknown>>;

/** `index.json` as it stands, by whomever it was written. */
export type OciIndex = {
  readonly text: string;
  /** Of this state of the file. */
  readonly stamp: string;
  /** All members of the document. */
  readonly document: Json;
  readonly manifests: readonly OciDescriptor[];
  /** Which of our generations it shows, if we wrote it. */
  readonly generation: string | undefined;
};

/** An entry of `manifests`, and what tells it from others. */
export type OciDescriptor = { readonly entry: Json; readonly digest: string; readonly name: string | undefined };

/**
 * @returns undefined when there is none.
 * @throws STORE_CORRUPT when it cannot be read: what other tools keep is then not known.
 */
export function readOciIndex(path: string): OciIndex | undefined {
  try {
    const file = readBounded(path, maxBytes);
    if (!file) return undefined;
    const document = requireObject(JSON.parse(file.text));
    const manifests = document['manifests'] ?? []; // Go writes an empty list as null
    if (document['schemaVersion'] !== 2 || !Array.isArray(manifests)) throw new Error('it is no index of version 2');
    return {
      text: file.text,
      stamp: formatStamp(file.stat),
      document,
      manifests: manifests.map(parseDescriptor),
      generation: annotationOf(document, generationAnnotation),
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : '';
    const message = `${show(path, 1024)} cannot be read: ${show(why)}: repair with "longshore image verify --repair"`;
    throw new ImageError('STORE_CORRUPT', message, { path }, { cause });
  }
}

/** Tells one state of a file from another; empty when it is not there. */
export function stampOf(path: string): string {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? formatStamp(stat) : '';
}

function formatStamp({
  size,
  mtimeNs,
  ino,
}: {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ino: bigint;
}): string {
  return `${size} ${mtimeNs} ${ino}`;
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
