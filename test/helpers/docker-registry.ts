import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import type { ExecutionContext } from 'ava';

import { describe, type TestDescriptor, types } from './registry.ts';

const run = promisify(execFile);

export type DockerRegistry = {
  /** `127.0.0.1:PORT`, of http. */
  readonly host: string;
  /** Copies an image from this layout by skopeo: `app:1`. */
  push(layout: string, name: string, ...options: readonly string[]): Promise<void>;
  /**
   * Puts an image where the registry keeps its own: for many images this takes a tenth of the time of an upload.
   *
   * @returns the digest of the manifest
   */
  put(repository: string, tag: string, manifest: Uint8Array, blobs: readonly Uint8Array[]): Promise<string>;
  /** Removes a tag, and not what it stands for. */
  removeTag(repository: string, tag: string): Promise<void>;
  /** Digests of the blobs that it has sent since it was last asked, each as often as it was. */
  takeSent(): readonly string[];
  /** The same of the blobs that it has received whole. */
  takeReceived(): readonly string[];
};

/** Lets in `user` with the password `secret`. */
const password = 'user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';

/**
 * Debian's docker-registry on a port of its own, and skopeo to fill it.
 *
 * @returns undefined, with a word in the test's log, where one of them is not installed.
 */
export async function startDockerRegistry(
  t: ExecutionContext,
  options: { readonly auth?: boolean } = {},
): Promise<DockerRegistry | undefined> {
  const missing = await missingPrograms();
  if (missing.length > 0) {
    t.log(`skipped: not installed: ${missing.join(', ')}`);
    t.pass();
    return undefined;
  }
  const registry = await openDockerRegistry(options);
  t.teardown(() => registry[Symbol.asyncDispose]());
  return registry;
}

/** What openDockerRegistry cannot do without. */
export async function missingPrograms(): Promise<readonly string[]> {
  const programs = ['docker-registry', 'skopeo'];
  const isThere = await Promise.all(programs.map(isInstalled));
  return programs.filter((_, index) => isThere[index] !== true);
}

/** @param options - `leftIn`: where its files stay when it has ended; else they are removed. */
export async function openDockerRegistry({
  auth = false,
  leftIn,
}: { readonly auth?: boolean; readonly leftIn?: string } = {}): Promise<DockerRegistry & AsyncDisposable> {
  const directory = await mkdtemp(join(leftIn ?? tmpdir(), 'docker-registry-'));
  const config = {
    version: '0.1',
    log: { level: 'info' },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: '127.0.0.1:0' },
    ...(auth && { auth: { htpasswd: { realm: 'a realm', path: join(directory, 'htpasswd') } } }),
  };
  await writeFile(join(directory, 'config.yml'), JSON.stringify(config));
  await writeFile(join(directory, 'htpasswd'), password);
  // It logs to files: who measures it would spend a tenth of the time on reading pipes.
  await using accessLog = await open(join(directory, 'access.log'), 'a');
  await using log = await open(join(directory, 'log'), 'a');
  const child = spawn('docker-registry', ['serve', join(directory, 'config.yml')], {
    stdio: ['ignore', accessLog.fd, log.fd],
    env: { ...process.env, GOGC: '400' }, // it lives briefly, and would spend a fifth of its time on garbage
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const host = await listening(child, join(directory, 'log'));
  /** @returns the digests that a pattern finds in lines of the access log, of those that no earlier call has returned */
  const taker = (pattern: RegExp) => {
    let taken = 0;
    return () => {
      const found = Array.from(
        readFileSync(join(directory, 'access.log'), 'utf8').matchAll(pattern),
        ([, digest = '']) => decodeURIComponent(digest),
      );
      return found.slice(taken, (taken = found.length));
    };
  };
  const data = join(directory, 'data/docker/registry/v2');
  const kept = new Set<string>();
  const keep = async (bytes: Uint8Array): Promise<string> => {
    const { digest } = describe(bytes, '');
    if (kept.has(digest)) return digest;
    kept.add(digest);
    const hex = digest.slice('sha256:'.length);
    const path = join(data, 'blobs/sha256', hex.slice(0, 2), hex);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'data'), bytes);
    return digest;
  };
  const credentials = auth ? ['--dest-creds', 'user:secret'] : [];
  return {
    host,
    async push(layout, name, ...options) {
      const copy = ['copy', '--quiet', '--insecure-policy', '--dest-tls-verify=false', ...credentials, ...options];
      const env = { ...process.env, HOME: directory, XDG_RUNTIME_DIR: directory };
      await run('skopeo', [...copy, `oci:${layout}`, `docker://${host}/${name}`], { env });
    },
    async put(repository, tag, manifest, blobs) {
      const own = join(data, 'repositories', repository);
      const link = async (digest: string, ...path: readonly string[]): Promise<void> => {
        await mkdir(join(own, ...path), { recursive: true });
        await writeFile(join(own, ...path, 'link'), digest);
      };
      for (const bytes of blobs) {
        const digest = await keep(bytes);
        await link(digest, '_layers', digest.replace(':', '/'));
      }
      const digest = await keep(manifest);
      await link(digest, '_manifests/revisions', digest.replace(':', '/'));
      await link(digest, '_manifests/tags', tag, 'current');
      return digest;
    },
    async removeTag(repository, tag) {
      await rm(join(data, 'repositories', repository, '_manifests/tags', tag), { recursive: true });
    },
    takeSent: taker(/"GET \/v2\/\S+\/blobs\/(\S+) HTTP\/1.1" 20[06] /g),
    takeReceived: taker(/"PUT \/v2\/\S+\/blobs\/uploads\/\S+digest=(sha256(?::|%3A)\w+) HTTP\/1.1" 201 /g),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      if (leftIn === undefined) await rm(directory, { recursive: true });
    },
  };
}

/** @returns the host that a registry which starts writes to its log */
async function listening(child: ChildProcess, log: string): Promise<string> {
  for (;;) {
    const text = await readFile(log, 'utf8');
    const host = /listening on (127\.0\.0\.1:\d+)/.exec(text)?.[1];
    if (host !== undefined) return host;
    if (child.exitCode !== null) throw new Error(`docker-registry did not start: ${text}`);
    await setTimeout(5);
  }
}

async function isInstalled(program: string): Promise<boolean> {
  return run(program, ['--version']).then(
    () => true,
    () => false,
  );
}

/** A layer as it is transferred, and the digest of its tar. */
export type Layer = { readonly bytes: Uint8Array; readonly diffId: string };

/** As writeImageLayout, for images of one layer. */
export function writeLayout(
  directory: string,
  architectures: readonly string[],
  layer: Uint8Array,
  diffId: string,
): Promise<TestDescriptor> {
  return writeImageLayout(directory, architectures, [{ bytes: layer, diffId }]);
}

/** An OCI layout of one image for each architecture, under one index where there are several. */
export async function writeImageLayout(
  directory: string,
  architectures: readonly string[],
  from: readonly Layer[],
): Promise<TestDescriptor> {
  const blobs = join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (content: Uint8Array | object, mediaType: string): Promise<TestDescriptor> => {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    const descriptor = describe(bytes, mediaType);
    await writeFile(join(blobs, descriptor.digest.slice('sha256:'.length)), bytes);
    return descriptor;
  };
  const manifests = await Promise.all(
    architectures.map(async (architecture) => {
      const platform = { os: 'linux', architecture };
      const rootfs = { type: 'layers', diff_ids: from.map(({ diffId }) => diffId) };
      const config = await put({ ...platform, rootfs }, types.config);
      const layers = await Promise.all(from.map(({ bytes }) => put(bytes, types.layer)));
      const manifest = await put({ schemaVersion: 2, mediaType: types.manifest, config, layers }, types.manifest);
      return { ...manifest, platform };
    }),
  );
  const [only] = manifests;
  const isOne = only !== undefined && manifests.length === 1;
  const top = isOne ? only : await put({ schemaVersion: 2, mediaType: types.index, manifests }, types.index);
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [top] }));
  return top;
}
