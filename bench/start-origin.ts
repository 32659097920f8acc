import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { prefix } from './names.ts';

export type Origin = AsyncDisposable & {
  readonly url: string;
  /** Options that have the corpus looked for there. */
  readonly discover: readonly string[];
};

/** Starts the static origin on loopback. @param shape - milliseconds before each answer, bytes a second of each connection. */
export async function startOrigin(directory: string, shape: { delayMs: number; rate: number }): Promise<Origin> {
  const script = join(import.meta.dirname, 'origin.ts');
  const child = spawn(process.execPath, [script, directory, String(shape.delayMs), String(shape.rate)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string];
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    discover: ['--discover', `${prefix}=${url}`],
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}
