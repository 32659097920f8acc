import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { ExecutionContext } from 'ava';

/** A Redis of a test: it keeps what it has, so it may be killed and started again. */
export type TestRedis = {
  /** `redis://127.0.0.1:PORT`, without a password. */
  readonly url: string;
  readonly port: number;
  /** The port is taken as soon as this returns, with what was there before. */
  start(): Promise<void>;
  /** `SIGTERM` lets it write first what it has. */
  kill(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** It answers nobody while it is stopped, as a machine behind a broken network. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** What `redis-cli` would say to a command, as the lines of the answer. */
  ask(...command: readonly string[]): Promise<string>;
};

export type RedisOptions = {
  /** Of the user `default`, as `requirepass` sets it. */
  readonly password?: string;
  /** A user of the ACL beside `default`, who may do everything. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Default `noeviction`. */
  readonly maxmemoryPolicy?: string;
};

/**
 * Starts Debian's `redis-server` on a free port of loopback, with a directory of its own. It ends with the test.
 *
 * @returns undefined, with a word in the test's log, where it is not installed.
 */
export async function startRedis(t: ExecutionContext, options: RedisOptions = {}): Promise<TestRedis | undefined> {
  const redis = await openRedis(options);
  if (redis === undefined) {
    t.log('skipped: not installed: redis-server');
    t.pass();
    return undefined;
  }
  t.teardown(() => redis[Symbol.asyncDispose]());
  return redis;
}

/** The same for the tests of a file, who close it. @returns undefined where `redis-server` is not installed */
export async function openRedis(options: RedisOptions = {}): Promise<(TestRedis & AsyncDisposable) | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'redis-'));
  const file = join(directory, 'redis.conf');
  const port = await freePort();
  await writeFile(file, configuration(directory, port, options));
  let child: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    child = spawn('redis-server', [file], { stdio: ['ignore', 'pipe', 'ignore'] });
    await isReady(child);
  };
  const kill = async (signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> => {
    const killed = child;
    child = undefined;
    if (!killed || killed.exitCode !== null || killed.signalCode !== null) return;
    const exited = once(killed, 'exit');
    killed.kill('SIGCONT');
    killed.kill(signal);
    await exited;
  };
  const dispose = async (): Promise<void> => {
    await kill();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await dispose();
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    start,
    kill,
    signal: (signal) => void child?.kill(signal),
    ask: (...command) => ask(port, options.password, command),
    [Symbol.asyncDispose]: dispose,
  };
}

function configuration(directory: string, port: number, { password, user, maxmemoryPolicy }: RedisOptions): string {
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir ${directory}`,
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    `maxmemory-policy ${maxmemoryPolicy ?? 'noeviction'}`,
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    ...(user ? [`user ${user.name} on >${user.password} ~* &* +@all`] : []),
    '',
  ].join('\n');
}

/** Below those that the system gives to connections: no client gets it while Redis is away, and is then its own server. */
async function freePort(): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const port = randomInt(10_000, 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if (tries < 20) continue;
      throw error;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** It has read what it wrote before, and takes connections. */
async function isReady(child: ChildProcess): Promise<void> {
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      reject(new Error(`redis-server ended with ${code ?? signal ?? 'nothing'}`));
    });
  });
  const ready = new Promise<void>((resolve) => {
    if (!child.stdout) return;
    createInterface(child.stdout).on('line', (line) => {
      if (/ready to accept connections/i.test(line)) resolve();
    });
  });
  failed.catch(() => undefined); // also when it ends later
  await Promise.race([ready, failed]);
}

/** Plain RESP, so that the helper needs no client. */
async function ask(port: number, password: string | undefined, command: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  try {
    if (password !== undefined) await exchange(socket, ['AUTH', password]);
    return await exchange(socket, command);
  } finally {
    socket.destroy();
  }
}

async function exchange(socket: Socket, command: readonly string[]): Promise<string> {
  socket.write(`*${command.length}\r\n${command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`);
  let answer = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    answer += chunk.toString();
    const values = parse(answer, 0);
    if (values) return values.lines.join('\n');
  }
  throw new Error(`redis ended the connection: ${answer}`);
}

/** The values of an answer from `at`, or undefined while it is not whole. */
function parse(text: string, at: number): { readonly lines: readonly string[]; readonly end: number } | undefined {
  const lineEnd = text.indexOf('\r\n', at);
  if (lineEnd === -1) return undefined;
  const [kind, head] = [text[at], text.slice(at + 1, lineEnd)];
  const next = lineEnd + 2;
  if (kind === '-') throw new Error(head);
  if (kind === '$' && head !== '-1') {
    const end = next + Number(head);
    return text.length < end + 2 ? undefined : { lines: [text.slice(next, end)], end: end + 2 };
  }
  if (kind !== '*') return { lines: [head], end: next };
  const lines: string[] = [];
  let end = next;
  for (let left = Number(head); left > 0; left -= 1) {
    const value = parse(text, end);
    if (!value) return undefined;
    lines.push(...value.lines);
    end = value.end;
  }
  return { lines, end };
}
