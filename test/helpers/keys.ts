import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';

type KeyOptions = {
  readonly userId?: string;
  /** As gpg names them: ed25519, rsa2048, dsa2048, nistp256, … */
  readonly algorithm?: string;
  /** As gpg names them: `sign`, `cert`, `sign,cert`. */
  readonly usage?: string;
  /** As gpg names them: `never`, `1d`, `seconds=60`. */
  readonly expires?: string;
  /** The clock that gpg is told, such as `20200101T000000`. */
  readonly at?: string;
};

export type SignOptions = {
  readonly armor?: boolean;
  readonly digest?: string;
  readonly expires?: string;
  readonly at?: string;
  /** Further options of gpg. */
  readonly also?: readonly string[];
  readonly form?: 'detached' | 'inline' | 'cleartext';
};

/** A real gpg with a home of its own. Open it once a test file, close it in `test.after.always`. */
export type Gpg = AsyncDisposable & {
  readonly home: string;
  /** @returns standard output. Rejects with standard error when gpg fails. */
  run(args: readonly string[], input?: Uint8Array): Promise<Buffer>;
  /** @returns the fingerprint, lower-case hex. */
  createKey(options?: KeyOptions): Promise<string>;
  /** @returns the subkey's fingerprint, lower-case hex. */
  addSubkey(fingerprint: string, options?: KeyOptions): Promise<string>;
  /** The public key, armored. */
  certificate(fingerprint: string): Promise<Buffer>;
  /** The secret key, armored and not encrypted. */
  secretKey(fingerprint: string): Promise<Buffer>;
  sign(fingerprint: string, bytes: Uint8Array, options?: SignOptions): Promise<Buffer>;
  revoke(fingerprint: string): Promise<void>;
  close(): Promise<void>;
};

export async function openGpg(): Promise<Gpg> {
  const home = await mkdtemp(join(tmpdir(), 'gpg-'));
  const options = ['--homedir', home, '--batch', '--yes', '--quiet', '--no-tty'];
  const secrets = ['--pinentry-mode', 'loopback', '--passphrase', ''];
  // One at a time: gpg loses updates when two write to one keyring.
  let last: Promise<unknown> = Promise.resolve();
  const run = (args: readonly string[], input?: Uint8Array): Promise<Buffer> => {
    const next = last.then(() => exec('gpg', [...options, ...secrets, ...args], input));
    last = next.catch(() => undefined);
    return next;
  };

  const close = async (): Promise<void> => {
    await exec('gpgconf', ['--homedir', home, '--kill', 'all']);
    await rm(home, { recursive: true, force: true, maxRetries: 3 });
  };

  let keys = 0;
  return {
    home,
    run,
    async createKey({
      userId = `Key ${++keys} <key${keys}@example.com>`,
      algorithm = 'ed25519',
      usage = 'sign,cert',
      expires = 'never',
      at,
    } = {}) {
      const status = await run([
        ...clock(at),
        '--status-fd',
        '1',
        '--quick-gen-key',
        '--',
        userId,
        algorithm,
        usage,
        expires,
      ]);
      return created(status);
    },
    async addSubkey(fingerprint, { algorithm = 'ed25519', usage = 'sign', expires = 'never', at } = {}) {
      const before = await subkeys(run, fingerprint);
      await run([...clock(at), '--quick-add-key', fingerprint, algorithm, usage, expires]);
      const added = (await subkeys(run, fingerprint)).find((subkey) => !before.includes(subkey));
      if (added === undefined) throw new Error('gpg added no subkey');
      return added;
    },
    certificate: (fingerprint) => run(['--armor', '--export', fingerprint]),
    secretKey: (fingerprint) => run(['--armor', '--export-secret-keys', fingerprint]),
    sign(fingerprint, bytes, { armor = true, digest = 'SHA512', expires, at, also = [], form = 'detached' } = {}) {
      const command = { detached: '--detach-sign', inline: '--sign', cleartext: '--clear-sign' }[form];
      const until = expires === undefined ? [] : ['--default-sig-expire', expires];
      const options = ['--local-user', `${fingerprint}!`, '--digest-algo', digest, ...until, ...also];
      return run([...clock(at), ...(armor ? ['--armor'] : []), ...options, command], bytes);
    },
    async revoke(fingerprint) {
      const path = join(home, 'openpgp-revocs.d', `${fingerprint.toUpperCase()}.rev`);
      const certificate = await readFile(path, 'utf8');
      await run(['--import'], Buffer.from(certificate.replace(/^:-----BEGIN/m, '-----BEGIN')));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function clock(at: string | undefined): readonly string[] {
  return at === undefined ? [] : ['--faked-system-time', `${at}!`];
}

function created(status: Buffer): string {
  const fingerprint = /^\[GNUPG:\] KEY_CREATED \S ([0-9A-F]+)/m.exec(status.toString())?.[1];
  if (fingerprint === undefined) throw new Error(`gpg created no key: ${status.toString()}`);
  return fingerprint.toLowerCase();
}

async function subkeys(run: Gpg['run'], fingerprint: string): Promise<readonly string[]> {
  const listing = (await run(['--with-colons', '--list-keys', fingerprint])).toString();
  return Array.from(listing.matchAll(/^sub:.*\nfpr:+([0-9A-F]+):/gm), (match) => (match[1] ?? '').toLowerCase());
}

/** Runs a program to its end. @returns standard output. Rejects with standard error when it fails. */
export async function exec(
  program: string,
  args: readonly string[],
  input: Uint8Array = Buffer.alloc(0),
): Promise<Buffer> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  child.stdin.on('error', () => undefined); // a program that refuses early does not read its input
  child.stdin.end(input);
  const [output, errors, code] = await Promise.all([buffer(child.stdout), text(child.stderr), exited]);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${String(code)}: ${errors}`);
  return output;
}
