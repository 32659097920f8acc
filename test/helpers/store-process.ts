import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import type { ExecutionContext } from 'ava';

const script = fileURLToPath(new URL('store-child.ts', import.meta.url));

export type StoreProcess = {
  readonly child: ChildProcess;
  /** The next line it prints; undefined once it has ended. */
  line(): Promise<string | undefined>;
  /** Ends it at once, wherever it is. */
  kill(): Promise<void>;
  /** @returns its exit code, null after a signal. */
  ended(): Promise<number | null>;
};

/** Another process that works on a store: a command of store-child.ts, possibly wrapped in another program. */
export function startStoreProcess(
  t: ExecutionContext,
  args: readonly string[],
  wrapper: readonly string[] = [],
): StoreProcess {
  return startProcess(t, [script, ...args], wrapper);
}

/** A script in a process of its own, ended when the test ends. */
export function startProcess(
  t: ExecutionContext,
  args: readonly string[],
  wrapper: readonly string[] = [],
): StoreProcess {
  const [program = '', ...rest] = [...wrapper, process.execPath, ...args];
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exit;
  };
  t.teardown(kill);
  return {
    child,
    kill,
    line: async () => {
      const next = await lines.next();
      return next.done ? undefined : next.value;
    },
    ended: async () => {
      await exit;
      return child.exitCode;
    },
  };
}
