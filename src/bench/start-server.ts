import { fork } from 'node:child_process';
import { once } from 'node:events';

import { programPath } from './run-once.ts';

export type Served = ServerShape & {
  readonly directory: string;
  /** The prefix of the image names for discovery. */
  readonly prefix: string;
};

export type ServerShape = {
  /** Delay before each answer; 0 is none. */
  readonly delayMs: number;
  /** The most bytes a second of each answer; 0 is no limit. */
  readonly rate: number;
  /** The percentage of answers that break off halfway. */
  readonly loss: number;
};

export type Server = AsyncDisposable & { readonly url: string; readonly pid: number };

/** Serves a directory from another process, so that its processor time is not counted for longshore. */
export async function startServer(
  { directory, prefix, delayMs, rate, loss }: Served,
  signal: AbortSignal,
): Promise<Server> {
  const child = fork(programPath('serve'), [directory, prefix, String(delayMs), String(rate), String(loss)], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async (): Promise<void> => {
    child.kill('SIGKILL'); // it has no data to save
    await ended;
  };
  try {
    const failed = ended.then(() => Promise.reject(new Error('the server did not start')));
    failed.catch(() => undefined);
    // as serve.ts sends it
    const [url] = (await Promise.race([once(child, 'message', { signal }), failed])) as [string];
    return { url, pid: child.pid ?? 0, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}
