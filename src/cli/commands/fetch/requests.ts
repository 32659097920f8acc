import { resolve } from 'node:path';

import {
  type AppInput,
  asImageError,
  createFileCheck,
  type ImageError,
  type Names,
  parseReference,
  showReference,
} from '../../../internal.ts';
import { readList } from '../../../lists/read-list.ts';

/** `place` is its position in a list, for messages. */
type ListedRequest = { readonly text: string; readonly signature?: string; readonly place?: string };
/** `asked` is absent when the error itself names the request. */
type Misunderstood = { readonly asked: string | undefined; readonly error: ImageError };

/** The requests of a run, and the errors of those that could not be parsed. */
export type Requests = {
  readonly apps: readonly AppInput[];
  readonly errors: readonly Misunderstood[];
  /** True when there is a local file: it is written to the store under every pull policy. */
  readonly hasFiles: boolean;
};

/** Parses requests relative to `directory`. The texts are kept. */
function parseRequests(asked: Iterable<ListedRequest>, directory: string, names: Names): Requests {
  const isFile = createFileCheck(directory);
  const apps: AppInput[] = [];
  const errors: Misunderstood[] = [];
  let hasFiles = false;
  for (const { text, signature, place = '' } of asked) {
    try {
      const reference = parseReference(text, { directory, isFile, names });
      hasFiles ||= reference.kind === 'file';
      apps.push({
        image: text,
        ...(reference.kind === 'registry' && { type: 'docker' as const }),
        ...(directory !== process.cwd() && { directory }),
        ...(signature !== undefined && { signature: resolve(directory, signature) }),
      });
    } catch (error) {
      errors.push({ asked: `${place}${showReference(text)}`, error: asImageError(error) });
    }
  }
  return { apps, errors, hasFiles };
}

function joinRequests(parts: readonly Requests[]): Requests {
  return {
    apps: parts.flatMap(({ apps }) => apps),
    errors: parts.flatMap(({ errors }) => errors),
    hasFiles: parts.some(({ hasFiles }) => hasFiles),
  };
}

type RequestSources = {
  /** The requests on the command line. */
  readonly asked: readonly ListedRequest[];
  /** Paths of lists; `-` is the standard input. */
  readonly lists: readonly string[];
  readonly names: Names;
  readonly stdin: NodeJS.ReadStream;
  readonly signal: AbortSignal;
};

/**
 * All requests of a run, beginning with those of the command line. @throws ImageError for a list that cannot be read at
 * all
 */
export async function readRequests({ asked, lists, names, stdin, signal }: RequestSources): Promise<Requests> {
  const directory = process.cwd();
  const parts = [parseRequests(asked, directory, names)];
  for (const path of lists) {
    const list = await readList({ path, directory, input: stdin }, signal);
    const shown = path === '-' ? 'standard input' : path;
    const requests = list.entries.map((entry) => ({ ...entry, place: `${shown}, line ${entry.line}: ` }));
    const { apps, errors: invalid, hasFiles } = parseRequests(requests, list.directory, names);
    const errors = [...list.errors.map((error) => ({ asked: undefined, error })), ...invalid];
    parts.push({ apps, hasFiles, errors });
  }
  return joinRequests(parts);
}
