import { fork } from 'node:child_process';
import { once } from 'node:events';

import { programPath } from './run-once.ts';

export type Served = ServerShape & {
  readonly directory: string;
  /** Of the image names that discovery finds there. */
  readonly prefix: string;
};

export type ServerShape = {
  /** Before each answer; 0 is none. */
  readonly delayMs: number;
  /** Most bytes a second of each answer; 0 lifts it. */
  readonly rate: number;
  /** Of a hundred answers, how many break off halfway. */
  readonly loss: number;
};

export type Server = AsyncDisposable & { readonly url: string };

/** Serves a directory from a process of its own, so that the processor time of serving is not longshore's. */
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
    child.kill('SIGKILL'); // it has nothing to lose
    await ended;
  };
  try {
    const failed = ended.then(() => Promise.reject(new Error('the server did not start')));
    failed.catch(() => undefined);
    const [url] = (await Promise.race([once(child, 'message', { signal }), failed])) as [string]; // as serve.ts sends it
    return { url, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}
