import { resolve } from 'node:path';

import {
  type AppInput,
  asImageError,
  createFileChecks,
  type ImageError,
  type Names,
  parseReference,
  referenceKey,
  showReference,
} from '../../../internal.ts';
import { type ImageEntry, listInvalid, showPlace } from '../../../lists/list.ts';
import type { Io } from '../../command.ts';
import { appOf, type AskedTags, type Lists, readLists } from '../lists.ts';

/** `asked` is absent when the error itself names the request. */
type Misunderstood = { readonly asked: string | undefined; readonly error: ImageError };

/** The requests of a run, and the errors of those that could not be parsed. */
export type Requests = {
  readonly apps: readonly AppInput[];
  /** What is to be chosen of the tags of repositories, once they are known. */
  readonly tags: readonly AskedTags[];
  readonly errors: readonly Misunderstood[];
  /** True when there is a local file: it is written to the store under every pull policy. */
  readonly hasFiles: boolean;
  readonly lists: Lists;
};

type RequestSources = {
  /** The requests on the command line. */
  readonly asked: readonly { readonly text: string; readonly signature?: string }[];
  /** The values of -f. */
  readonly lists: readonly string[];
  readonly names: Names;
  readonly io: Pick<Io, 'stdin' | 'signal' | 'environment'>;
};

/**
 * All requests of a run, beginning with those of the command line. @throws ImageError for a list that cannot be read at
 * all
 */
export async function readRequests({ asked, lists: paths, names, io }: RequestSources): Promise<Requests> {
  const directory = process.cwd();
  const lists = await readLists(paths, io);
  const apps: AppInput[] = [];
  const errors: Misunderstood[] = lists.errors.map((error) => ({ asked: undefined, error }));
  const tags: AskedTags[] = [];
  let hasFiles = false;
  const isFileIn = createFileChecks();
  const once = createOnce();

  /** @returns the request and the key of its reference; undefined if it cannot be parsed. */
  const parse = (app: AppInput, place: string): { readonly app: AppInput; readonly key: string } | undefined => {
    const { image, directory: base = directory } = app;
    try {
      const reference = parseReference(image, { directory: base, isFile: isFileIn(base), names });
      hasFiles ||= reference.kind === 'file';
      const type = reference.kind === 'registry' && { type: 'docker' as const };
      return { app: { ...app, ...type }, key: referenceKey(reference) };
    } catch (error) {
      errors.push({ asked: `${place}${showReference(image)}`, error: asImageError(error) });
      return undefined;
    }
  };

  for (const { text, signature } of asked) {
    const image = { image: text, ...(signature !== undefined && { signature: resolve(directory, signature) }) };
    const parsed = parse(image, '');
    if (parsed) apps.push(parsed.app);
  }
  for (const entry of lists.entries) {
    if (entry.kind === 'tags') {
      tags.push({ before: apps.length, entry });
      continue;
    }
    const parsed = parse(appOf(entry, directory), `${showPlace(entry.place)}: `);
    if (!parsed) continue;
    const verdict = once(parsed.key, entry);
    if (typeof verdict === 'string') {
      errors.push({ asked: undefined, error: listInvalid({ place: entry.place, problem: verdict }) });
    } else if (verdict) apps.push(parsed.app);
  }
  return { apps, tags, errors, hasFiles, lists };
}

/**
 * Tells which entries are to be asked for: what lists of other programs name again and again, once. In a list of our own each line is
 * a request.
 *
 * @returns a function that returns what is wrong with an entry, where the same image has another signature
 */
export function createOnce(): (key: string, entry: ImageEntry) => boolean | string {
  const signatures = new Map<string, ImageEntry>();
  const taken = new Set<string>();
  return (key, entry) => {
    const { signature, type, platforms = [], keep = '' } = entry;
    const first = signatures.get(key);
    if (signature !== undefined && !first) signatures.set(key, entry);
    if (signature !== undefined && first && first.signature !== signature) {
      return `another signature for the same image than in ${showPlace(first.place)}: which one counts?`;
    }
    if (type === 'guess') return true;
    const request = JSON.stringify([key, signature, platforms, keep]);
    if (taken.has(request)) return false;
    taken.add(request);
    return true;
  };
}
