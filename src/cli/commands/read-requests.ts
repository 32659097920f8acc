import { readList } from '../../lists/read-list.ts';
import { joinRequests, parseRequests, type Request, type Requests } from './requests.ts';

export type RequestSources = {
  /** What stands on the command line. */
  readonly asked: readonly Request[];
  /** Paths of lists; `-` is the standard input. */
  readonly lists: readonly string[];
  readonly stdin: NodeJS.ReadStream;
  readonly signal: AbortSignal;
};

/** All requests of a run, those of the command line first. @throws ImageError for a list that cannot be read at all */
export async function readRequests({ asked, lists, stdin, signal }: RequestSources): Promise<Requests> {
  const directory = process.cwd();
  const parts = [parseRequests(asked, directory)];
  for (const path of lists) {
    const list = await readList({ path, directory, input: stdin }, signal);
    const shown = path === '-' ? 'standard input' : path;
    const requests = list.entries.map((entry) => ({ ...entry, place: `${shown}, line ${entry.line}: ` }));
    const { apps, errors: invalid, hasFiles } = parseRequests(requests, list.directory);
    const errors = [...list.errors.map((error) => ({ asked: undefined, error })), ...invalid];
    parts.push({ apps, hasFiles, errors });
  }
  return joinRequests(parts);
}
