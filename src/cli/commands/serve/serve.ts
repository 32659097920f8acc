import { realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import {
  createVerifier,
  defaultLimits,
  ImageError,
  isLoopbackName,
  judgeStored,
  type Keystore,
  openKeystore,
  openPool,
  openStore,
  type Pool,
  readConfigFile,
  show,
} from '../../../internal.ts';
import { hostOf, parseUsers } from '../../../serve/access.ts';
import { type Accept, acceptedOnly, followStore } from '../../../serve/current-store.ts';
import { type ListenAddress, startServer } from '../../../serve/serve.ts';
import { errnoOf, isNoEntry } from '../../../system/errno.ts';
import type { Run } from '../../command.ts';
import { type Config, readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { checksOf } from '../../options/policy.ts';
import { directoriesOf, isOn, textOf, valueOf, valuesOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { readVersion } from '../../version.ts';
import { storeDirectory } from '../fetch/network.ts';

/** What is under way at the first signal has this long to end. */
const graceMs = 30_000;
/** Behind that, the process is ended. */
const marginMs = 3_000;

/** `serve`: the store as a registry, until a signal comes. */
export const runServeCommand: Run = async (io, line) => {
  io.endsBySignal(graceMs + marginMs);
  const listen = valueOf(line, 'listen', parseListen) ?? { host: '127.0.0.1', port: 5000 };
  const hosts = valuesOf(line, 'host', parseHost);
  const isPublic = isOn(line, 'public');
  const tls = await readTls(line);
  const users = await readUsers(line);
  const isLocal = isLoopbackName(listen.host);
  if (!isLocal && !isPublic && !(tls && users)) throw unprotected(listen, line);

  for (const name of isOn(line, 'verified-only') ? [] : (['policy', 'trusted-root'] as const))
    if (line.values(name).at(-1)?.option === `--${name}`)
      throw usageError('it says what --verified-only serves: give that too', `--${name}`);

  const { system, local, user, trustedRoot } = directoriesOf(line, io.environment);
  const config = await readConfig({ system, local, user });
  const dir = storeDirectory({ dir: textOf(line, 'dir'), config, environment: io.environment });
  const warned = new Set<string>();
  const onWarning = (message: string): void => {
    if (warned.has(message) || warned.size > maxWarnings) return;
    warned.add(message);
    void write(io.stderr, `warning: ${show(message, 1000)}\n`);
  };
  for (const message of await keyWarnings(textOf(line, 'key'))) onWarning(message);
  for (const message of warningsFor({
    listen,
    dir,
    isPublic,
    isLocal,
    isSecure: tls !== undefined,
    hasUsers: users !== undefined,
  }))
    onWarning(message);

  // passwords wait for nothing else
  await using passwords = openPool({ workers: 1, sessionsPerWorker: 1 });
  await using hashes = openPool({ workers: 2, sessionsPerWorker: 1 });
  await using keystore = isOn(line, 'verified-only')
    ? await openKeystore({ dirs: [system, local, user], trustedRoot, onWarning })
    : undefined;
  const accept = keystore && (await openAccept(line, config, { keystore, pool: hashes, onWarning }));
  await using store = await followStore(join(dir, 'index.sqlite'), async () => {
    await requireReadable(dir, isPublic || users !== undefined);
    const opened = await openStore({ dir, readOnly: true });
    return accept ? acceptedOnly(opened, accept, Date.now) : opened;
  });
  const server = await startServer({
    ...{ store, listen, tls, users, hosts, onWarning },
    catalog: isOn(line, 'catalog'),
    version: readVersion(),
    hashFile: (path) => hashes.run('reHash', { path, algorithm: 'sha256' }),
    comparePassword: async (password, hash) => (await passwords.run('comparePassword', { password, hash })).matches,
  });
  const ready = { schema: 'longshore.serve/1', url: server.url, store: dir };
  await write(io.stdout, textOf(line, 'output') === 'json' ? `${toSafeJson(ready)}\n` : `${server.url}\n`);
  await aborted(io.signal);
  if (await server.close(graceMs)) return exitCodes.success;
  onWarning(`answers that took longer than ${graceMs / 1000} s to end were cut`);
  return exitCodes.unforeseen;
};

/** Each message is told once; of more, nothing is told. */
const maxWarnings = 100;

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}

/** `HOST:PORT`, with an IPv6 address in brackets. @throws USAGE */
export function parseListen(text: string, option: string): ListenAddress {
  const [, named = '', digits = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  const [host, port] = [hostOf(named), Number(digits)];
  if (host === undefined || port > 65_535)
    throw usageError(`want HOST:PORT, such as 127.0.0.1:5000 or [::1]:5000, got "${show(text)}"`, option);
  return { host, port };
}

function parseHost(text: string, option: string): string {
  const host = hostOf(text);
  if (host === undefined) throw usageError(`want the name of a host, got "${show(text)}"`, option);
  return host;
}

type Judging = {
  readonly keystore: Keystore;
  readonly pool: Pool;
  readonly onWarning: (message: string) => void;
};

/** What `--verified-only` accepts: what a fetch would that finds the image in the store. */
async function openAccept(line: CommandLine, config: Config, { keystore, pool, onWarning }: Judging): Promise<Accept> {
  const { policy, insecure, warnings } = await checksOf(line, config);
  if (insecure.image) throw usageError('--insecure-options=image accepts what was not verified', '--verified-only');
  warnings.forEach(onWarning);
  const { weakKeys = false } = insecure;
  const { signatures } = defaultLimits;
  const verifier = createVerifier({ keystore, policy, pool, weakKeys, signatures, nowMs: Date.now });
  return async (image, proofs) => (await judgeStored(verifier, image, proofs)).kind !== 'refused';
}

export async function readTls(line: CommandLine): Promise<{ readonly cert: string; readonly key: string } | undefined> {
  const [cert, key] = [textOf(line, 'cert'), textOf(line, 'key')];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw usageError('a certificate and its key go together', cert === undefined ? '--cert' : '--key');
  const [certText, keyText] = [await readText(cert), await readText(key)];
  return { cert: certText, key: keyText };
}

export async function keyWarnings(path: string | undefined): Promise<readonly string[]> {
  if (path === undefined || ((await stat(path)).mode & othersRead) === 0) return [];
  return [`${show(path, 4096)} can be read by others: chmod o-r keeps the key from them`];
}

async function readUsers(line: CommandLine): Promise<ReturnType<typeof parseUsers> | undefined> {
  const path = textOf(line, 'auth');
  return path === undefined ? undefined : parseUsers(await readText(path), path);
}

async function readText(path: string): Promise<string> {
  return (await readConfigFile(resolve(path), { isNamed: true })).toString('utf8');
}

function unprotected({ host }: ListenAddress, line: CommandLine): ImageError {
  const missing = ['cert', 'key', 'auth'].filter((name) => textOf(line, name as 'cert') === undefined);
  const message = `other machines reach ${host}, and the store may hold what needed credentials: give ${missing
    .map((name) => `--${name}`)
    .join(', ')} too, or --public to serve everybody`;
  return usageError(message, '--listen');
}

type About = {
  readonly listen: ListenAddress;
  readonly dir: string;
  readonly isPublic: boolean;
  readonly isLocal: boolean;
  readonly isSecure: boolean;
  readonly hasUsers: boolean;
};

function warningsFor({ listen, dir, isPublic, isLocal, isSecure, hasUsers }: About): readonly string[] {
  if (!isPublic) return [];
  const who = isLocal ? 'every user of this machine' : `everybody who reaches ${listen.host}`;
  if (!hasUsers) return [`--public: ${who} can read all images of ${dir}`];
  return isSecure || isLocal ? [] : [`--public: passwords are sent to ${listen.host} without TLS`];
}

const [othersRead, othersEnter] = [0o004, 0o001];

/** On loopback every user of the machine may ask, so files that they may not read are not served to them. */
async function requireReadable(dir: string, isLifted: boolean): Promise<void> {
  await modeOf(dir);
  if (isLifted || (await isOpen(await realpath(dir)))) return;
  const message = `other users may not read ${show(dir, 1024)}, but may ask at a local address: give --auth, or --public to serve all of them`;
  throw usageError(message, '--listen');
}

/** Whether others may read all of a store, and get there. @param dir - no part of it is a symlink. */
async function isOpen(dir: string): Promise<boolean> {
  if (await closedAbove(dirname(dir))) return false;
  for (const [name, bits] of partsOfStore) {
    try {
      if (((await stat(join(dir, name))).mode & bits) !== bits) return false;
    } catch (error) {
      if (!isNoEntry(error)) throw error; // a store that nothing was fetched into has no such part
    }
  }
  return true;
}

const partsOfStore: readonly (readonly [string, number])[] = [
  ...['', 'blobs', 'blobs/sha256'].map((name) => [name, othersRead | othersEnter] as const),
  ['index.sqlite', othersRead],
];

/** Whether others cannot get below a directory. */
async function closedAbove(dir: string): Promise<boolean> {
  if (((await modeOf(dir)) & othersEnter) === 0) return true;
  return dirname(dir) !== dir && (await closedAbove(dirname(dir)));
}

async function modeOf(dir: string): Promise<number> {
  try {
    return (await stat(dir)).mode;
  } catch (error) {
    const [path, why] = [dir, errnoOf(error) ?? ''];
    if (why === 'ENOENT') throw new ImageError('FILE_NOT_FOUND', `there is no store at ${show(dir, 1024)}`, { path });
    throw new ImageError(
      'FILE_UNREADABLE',
      `${show(dir, 1024)} cannot be read`,
      { path, errno: why },
      { cause: error },
    );
  }
}
