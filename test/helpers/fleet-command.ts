import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { environmentIn } from './environment.ts';
import { startRedis, type TestRedis } from './redis.ts';
import { startRegistry, type TestRegistry } from './registry.ts';
import { layerOf } from './registry-fetching.ts';
import type { CliResult } from './run-cli.ts';
import { runHere } from './run-here.ts';
import { temporaryDirectory } from './stored.ts';

export type CommandFleet = {
  readonly directory: string;
  readonly redis: TestRedis;
  readonly registry: TestRegistry;
  /** References of images that the registry has. */
  readonly images: readonly string[];
  /** The command, as the submitter and as who waits. */
  longshore(this: void, ...args: readonly string[]): Promise<CliResult>;
  /** What a worker of a name finds in its environment: its store and keys are of its own. */
  environmentOf(this: void, name: string): Readonly<Record<string, string>>;
  /** A worker with a store and a name of its own, in this process. */
  work(this: void, name: string, ...args: readonly string[]): { stop(): void; readonly ended: Promise<CliResult> };
};

/** A Redis, a registry with three images, keys, and the command. @returns undefined where `redis-server` is not installed */
export async function openCommandFleet(t: ExecutionContext): Promise<CommandFleet | undefined> {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const directory = await temporaryDirectory(t);
  const registry = await startRegistry(t);
  const layers = await Promise.all(['a', 'b', 'c'].map((name) => layerOf({ [name]: name.repeat(2000) })));
  const images = layers.map((layer, index) => {
    registry.putImage(`team/app${index}`, '1', { layers: [layer] });
    return `docker://${registry.host}/team/app${index}:1`;
  });
  for (const name of ['submit', 'worker', 'stranger']) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    await writeFile(join(directory, `${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
    });
    await writeFile(join(directory, `${name}.pub`), publicKey.export({ type: 'spki', format: 'pem' }));
  }
  const at = (name: string): string => join(directory, name);
  const common = {
    ...environmentIn(directory),
    LONGSHORE_QUEUE: redis.url,
    LONGSHORE_ACCEPT: at('submit.pub'),
    LONGSHORE_ACCEPT_WORKER: at('worker.pub'),
    LONGSHORE_PROGRESS: 'plain',
  };
  const stopped: Promise<CliResult>[] = [];
  const stop = new AbortController();
  t.teardown(async () => {
    stop.abort();
    await Promise.allSettled(stopped);
  });
  const environmentOf = (name: string): Readonly<Record<string, string>> => ({
    ...common,
    LONGSHORE_DIR: at(`store-${name}`),
    LONGSHORE_WORKER_KEY: at('worker.pem'),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PLATFORM: 'linux/amd64',
  });
  return {
    ...{ directory, redis, registry, images, environmentOf },
    longshore: (...args) => runHere(args, { ...common, LONGSHORE_SUBMIT_KEY: at('submit.pem') }),
    work(name, ...args) {
      const own = new AbortController();
      const signal = AbortSignal.any([own.signal, stop.signal]);
      const ended = runHere(['fleet', 'work', '--name', name, ...args], environmentOf(name), undefined, signal);
      stopped.push(ended);
      return { stop: () => own.abort(), ended };
    },
  };
}
