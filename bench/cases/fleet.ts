import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { makeRegistryCorpus } from '../../src/bench/registry-corpus.ts';
import { startServer } from '../../src/bench/start-server.ts';
import { openRedis } from '../../test/helpers/redis.ts';
import { type Longshore, openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { cpuSecondsOf, type Measured, never, peakOf } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';
import { watchOthers } from '../watch-others.ts';

const connections = 4;

/**
 * Two hundred images of 1 MB from a registry that sends 1 MB/s a connection: by a fetch, and by one, two and four workers of four
 * connections each; then fifty of them into the stores of eight workers. The clock runs from the submission to the end of the wait.
 */
export async function fleet({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [count, few, bytes] = small ? [8, 4, 50_000] : [200, 50, 1_000_000];
  const files = join(directory, 'files');
  await mkdir(files);
  const corpus = await makeRegistryCorpus({ images: count, size: bytes, compressibility: 0 }, files, never);
  await using origin = await startServer(
    { directory: files, prefix: 'bench', delayMs: 0, rate: 1_000_000, loss: 0 },
    never,
  );
  const references = corpus.requests(origin.url);
  const longshores = await openLongshores(directory);
  const setting = { directory, references, originPid: origin.pid, packedBytes: corpus.packedBytes };
  const firstFew = {
    ...setting,
    references: references.slice(0, few),
    packedBytes: (corpus.packedBytes * few) / count,
  };
  return await takeTurns(
    longshores.flatMap((longshore) => [
      { who: `longshore fetch${longshore.label}`, run: () => fetchAlone(longshore, references) },
      ...[1, 2, 4].map((workers) => ({
        who: `${workers} ${workers === 1 ? 'worker' : 'workers'}${longshore.label}`,
        run: () => runFleet(longshore, { ...setting, workers, everywhere: false }),
      })),
      {
        who: `eight workers, everywhere${longshore.label}`,
        run: () => runFleet(longshore, { ...firstFew, workers: 8, everywhere: true }),
      },
    ]),
    turns,
  );
}

/** Ten thousand small images in one batch, by a fetch and by two workers. */
export async function fleetMany({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const files = join(directory, 'files');
  await mkdir(files);
  const corpus = await makeRegistryCorpus(
    { images: small ? 50 : 10_000, size: 4_000, compressibility: 0 },
    files,
    never,
  );
  await using origin = await startServer({ directory: files, prefix: 'bench', delayMs: 0, rate: 0, loss: 0 }, never);
  const references = corpus.requests(origin.url);
  const setting = {
    directory,
    references,
    originPid: origin.pid,
    packedBytes: corpus.packedBytes,
    workers: 2,
    everywhere: false,
  };
  return await takeTurns(
    (await openLongshores(directory)).flatMap((longshore) => [
      {
        who: `longshore fetch${longshore.label}`,
        run: () => longshore.fetch(references, ['--insecure-options=image']),
      },
      { who: `2 workers${longshore.label}`, run: () => runFleet(longshore, setting) },
    ]),
    turns,
  );
}

function fetchAlone({ fetch }: Longshore, references: readonly string[]): Promise<Measured> {
  return fetch(references, ['--insecure-options=image', `--jobs-per-host=${connections}`]);
}

type Setting = {
  readonly directory: string;
  readonly references: readonly string[];
  readonly originPid: number;
  readonly packedBytes: number;
  readonly workers: number;
  readonly everywhere: boolean;
};

async function runFleet(
  { bin, config }: Longshore,
  { directory, references, originPid, packedBytes, workers, everywhere }: Setting,
): Promise<Measured> {
  const place = join(directory, 'fleet');
  await rm(place, { recursive: true, force: true });
  await mkdir(place);
  const key = join(place, 'key.pem');
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const secret = join(place, 'secret');
  await writeFile(secret, 'a secret that all workers of this benchmark have\n', { mode: 0o600 });
  const list = join(place, 'list.txt');
  await writeFile(list, references.join('\n'));
  await using redis = await openRedis();
  if (!redis) throw new Error('not installed: redis-server');
  const queue = ['--queue', redis.url];
  const dirs = ['--system-config', config, '--local-config', config, '--user-config', config];
  const peers = everywhere ? ['--listen=127.0.0.1:0', '--peer-secret', secret] : [];
  const of = ['--accept', key, '--accept-worker', key, '--worker-key', key];
  const children: ChildProcess[] = [];
  try {
    for (let at = 0; at < workers; at += 1) {
      const args = ['fleet', 'work', ...queue, ...of, ...peers, ...dirs, '--dir', join(place, `store-${at}`)];
      const limits = ['--insecure-options=image', `--jobs-per-host=${connections}`, '--output=json'];
      const child = spawn(process.execPath, [bin, ...args, ...limits], { stdio: ['ignore', 'pipe', 'ignore'] });
      children.push(child);
      await once(createInterface({ input: child.stdout }), 'line'); // it is ready
    }
    const pids = children.map(({ pid = 0 }) => pid);
    const before = {
      sent: await writtenBy(originPid),
      cpu: await cpuOf(pids),
      busy: await busyTicks(),
      redis: await redisSeconds(redis),
    };
    const others = await watchOthers();
    const beganMs = performance.now();
    const run = promisify(execFile);
    const use = everywhere ? ['--everywhere'] : [];
    await run(process.execPath, [
      ...[bin, 'fleet', 'submit', ...queue, '--submit-key', key, '--batch', 'bench', ...use, '-f', list, ...dirs],
    ]);
    await run(process.execPath, [
      ...[bin, 'fleet', 'wait', 'bench', ...queue, '--accept', key, '--accept-worker', key, '--progress=none', ...dirs],
    ]);
    const seconds = (performance.now() - beganMs) / 1000;
    const cpuSeconds = (await cpuOf(pids)) - before.cpu;
    const facts = {
      'of the batch, sent by the origin': ((await writtenBy(originPid)) - before.sent) / packedBytes,
      'processors busy, %': ((await busyTicks()) - before.busy) / seconds / availableParallelism(),
      'Redis, peak MiB': (await factOf(redis, 'used_memory_peak')) / 2 ** 20,
      'Redis, ms an image': (((await redisSeconds(redis)) - before.redis) / references.length) * 1000,
      images: references.length,
    };
    const peakBytes = Math.max(...(await Promise.all(pids.map(peakOf))));
    return { seconds, cpuSeconds, peakBytes, others: await others(), facts };
  } finally {
    for (const child of children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  }
}

type Asked = { ask(...command: readonly string[]): Promise<string> };

async function factOf(redis: Asked, name: string): Promise<number> {
  return Number(new RegExp(`^${name}:([0-9.]+)`, 'm').exec(await redis.ask('INFO'))?.[1]);
}

/** The processor time of Redis. */
async function redisSeconds(redis: Asked): Promise<number> {
  return (await factOf(redis, 'used_cpu_sys')) + (await factOf(redis, 'used_cpu_user'));
}

/** The bytes that a process has written, to sockets too. */
async function writtenBy(pid: number): Promise<number> {
  return Number(/^wchar: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

/** The processor time of running processes, in seconds. */
async function cpuOf(pids: readonly number[]): Promise<number> {
  return (await Promise.all(pids.map(cpuSecondsOf))).reduce((sum, seconds) => sum + seconds, 0);
}

/** Hundredths of a second that the processors of this machine were not idle. */
async function busyTicks(): Promise<number> {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = (
    /^cpu +(.*)$/m.exec(await readFile('/proc/stat', 'utf8'))?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  return user + nice + system + irq + softIrq;
}
