import { closeSync, constants, fstatSync, readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { isNoEntry } from '../system/errno.ts';
import { openRegularSync } from '../system/files.ts';
import { type Files, readCompose } from './formats/compose.ts';
import { readKubernetes } from './formats/kubernetes.ts';
import { readHauler, readImgpkg, readOcMirror } from './formats/offline.ts';
import { readLock, readOwnList, readResult } from './formats/own.ts';
import { readRegsync } from './formats/regsync.ts';
import { readSkopeo } from './formats/skopeo.ts';
import { type Collector, createCollector, type ListType, type ParsedList, type Source } from './list.ts';
import { type MapNode, member, type Node, readDocuments, textMember } from './located.ts';
import { selectionFault } from './select-tags.ts';

/** A YAML or JSON text to parse. Plain data. */
export type StructuredText = {
  readonly text: string;
  /** The name of the list in messages. */
  readonly shown: string;
  /** The absolute path that relative paths in it are resolved against. */
  readonly directory: string;
  /** The absolute path of the list; absent for standard input. */
  readonly path?: string;
  /** Absent if the content tells it, document by document. */
  readonly type?: ListType;
  /** Whether a document of no type that is known is passed over with a note, as in a directory. */
  readonly skipsUnknown?: boolean;
  /** Variables that lists may refer to. */
  readonly environment: Readonly<Record<string, string | undefined>>;
};

type Read = (root: Node, source: Source, files: Files) => void;

const formats: Readonly<Partial<Record<ListType, Read>>> = {
  kubernetes: readKubernetes,
  compose: readCompose,
  skopeo: readSkopeo,
  regsync: readRegsync,
  hauler: readHauler,
  imgpkg: readImgpkg,
  'oc-mirror': readOcMirror,
  list: readOwnList,
  result: readResult,
  lock: readLock,
};

/** Parses a list in YAML or JSON. @throws LIST_INVALID, LIMIT_EXCEEDED where that is too much */
export function parseStructured(structured: StructuredText): ParsedList {
  const { text, type, skipsUnknown = false } = structured;
  const collector = createCollector();
  const source = collector.source(structured);
  const files = openFiles(structured, collector);
  for (const root of readDocuments(text, source.problem)) {
    const format = formats[type ?? typeOfDocument(root) ?? 'text'];
    if (format) format(root, source, files);
    else if (skipsUnknown) source.note(root.at, 'this is no list of a type that is known, and is skipped');
    else source.problem(root.at, unknown);
  }
  const { entries, problems, notes, registries } = collector.found;
  const unread = entries.flatMap((entry) => {
    const problem = entry.kind === 'tags' ? selectionFault(entry.selection) : undefined;
    return problem === undefined ? [] : [{ place: entry.place, problem }];
  });
  return { entries, problems: [...problems, ...unread], notes, registries };
}

const unknown =
  'no list of a type that is known. If it is one, say which: kubernetes:FILE, compose:FILE and so on; the types are in the help';

/** The types that are told by a group of Kubernetes' API. */
const groups: readonly (readonly [group: RegExp, type: ListType])[] = [
  [/^content\.hauler\.cattle\.io\//, 'hauler'],
  [/^imgpkg\.carvel\.dev\//, 'imgpkg'],
  [/^mirror\.openshift\.io\//, 'oc-mirror'],
];

const skopeoKeys = ['images', 'images-by-tag-regex', 'images-by-semver'];

/** The type of a document, told by what it has; undefined if it is of no type that is known. */
export function typeOfDocument(root: Node): ListType | undefined {
  if (root.kind !== 'map') return undefined;
  const schema = textMember(root, 'schema')?.text ?? '';
  if (/^longshore\.list\//.test(schema)) return 'list';
  if (/^longshore\.(?:fetch|push|references)\//.test(schema)) return 'result';
  if (/^longshore\.lock\//.test(schema)) return 'lock';
  const api = textMember(root, 'apiVersion');
  if (api && textMember(root, 'kind')) return groups.find(([group]) => group.test(api.text))?.[1] ?? 'kubernetes';
  if (member(root, 'services')?.kind === 'map') return 'compose';
  if (member(root, 'sync')?.kind === 'list') return 'regsync';
  if (isSkopeo(root)) return 'skopeo';
  return member(root, 'include')?.kind === 'list' ? 'compose' : undefined;
}

/** Whether every key is a registry with what to take from it. */
function isSkopeo({ entries }: MapNode): boolean {
  return entries.size > 0 && entries.values().every((value) => skopeoKeys.some((key) => member(value, key)));
}

/** The files that an included file may have: more would keep the thread busy. */
const maxBytes = 4 * 1024 * 1024;

/** Files that each include the next one twice would be read without end, though none of them leads back to itself. */
const maxOpened = 100_000;

function openFiles({ path, shown, environment }: StructuredText, collector: Collector): Files {
  const realPath = path === undefined ? undefined : realPathOf(path);
  const texts = new Map<string, string | undefined>();
  const opened = new Map<string, ReturnType<Files['open']>>();
  let count = 0;
  const read = (path: string): string | undefined => {
    if (!texts.has(path)) texts.set(path, readSmall(path));
    return texts.get(path);
  };
  const open = (path: string, directory: string): ReturnType<Files['open']> => {
    const text = readSmall(path);
    if (text === undefined) return undefined;
    const source = collector.source({ text, shown: show(path, 1024), directory });
    return { roots: [...readDocuments(text, source.problem)], source, path: realPathOf(path) };
  };
  return {
    ...(realPath !== undefined && { path: realPath }),
    environment,
    read,
    open(path, directory = dirname(path)) {
      count += 1;
      if (count > maxOpened) {
        const message = `the files that ${shown} includes and extends are read more than ${maxOpened} times`;
        throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'files of a list', maximum: maxOpened });
      }
      const key = JSON.stringify([path, directory]);
      const known = opened.get(key) ?? open(path, directory);
      opened.set(key, known);
      return known;
    },
  };
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** @throws what the system throws, but for a file that is not there */
function readSmall(path: string): string | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openRegularSync(path, constants.O_RDONLY);
    if (fstatSync(descriptor).size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return readFileSync(descriptor, 'utf8').replace(/^\ufeff/, '');
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
