import { startServer, type Server, type ServerShape } from '../src/bench/start-server.ts';
import { prefix } from './names.ts';

export type Origin = Server & {
  /** Options that have the corpus looked for there. */
  readonly discover: readonly string[];
};

/** Serves a corpus on loopback. */
export async function startOrigin(directory: string, { delayMs, rate }: Omit<ServerShape, 'loss'>): Promise<Origin> {
  const server = await startServer({ directory, prefix, delayMs, rate, loss: 0 }, new AbortController().signal);
  return { ...server, discover: ['--discover', `${prefix}=${server.url}`] };
}
