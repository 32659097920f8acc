import { joinRequests, parseRequests, type Request, type Requests } from './requests.ts';

export type RequestSources = {
  /** What stands on the command line. */
  readonly asked: readonly Request[];
  /** Paths of lists; `-` is the standard input. */
  readonly lists: readonly string[];
  readonly stdin: NodeJS.ReadStream;
  readonly signal: AbortSignal;
};

/** All requests of a run, those of the command line first. */
export async function readRequests({ asked }: RequestSources): Promise<Requests> {
  return joinRequests([parseRequests(asked, process.cwd())]);
}
