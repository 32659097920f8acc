/**
 * Puts something else in the place of each path of a store, and runs commands on it, in this process: a parent ends it when one
 * of them hangs. Says one line for each command, and one before it. Usage: misplaced-child.ts DIR [PATTERN]
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { openStore } from '../../src/store/open-store.ts';
import { buildAci } from './archive.ts';
import { putRegistryImage } from './registry-image.ts';
import { runHere } from './run-here.ts';

export type Ran = {
  readonly path: string;
  readonly kind: string;
  readonly command: string;
  readonly code: number;
  readonly stderr: string;
  /** What is elsewhere, as it was. */
  readonly untouched: boolean;
};

const [dir = '', pattern = ''] = process.argv.slice(2);
const [template, store, outside] = [join(dir, 'template'), join(dir, 'store'), join(dir, 'outside')];

const { bytes, imageId } = await buildAci({ name: 'example.com/app', size: 200_000, compress: 'gzip' });
const server = createServer((_request, response) => void response.end(bytes)).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/app.aci`;
const key = createHash('sha256').update(url).digest('hex');
const insecure = ['--insecure-options=image,http'];

const fetching = ['fetch', url, ...insecure, '--no-store', '--retries', '0'];
const commands: Readonly<Record<string, readonly string[]>> = {
  list: ['image', 'list'],
  show: ['image', 'show', 'example.com/app'],
  'cat-manifest': ['image', 'cat-manifest', 'docker://docker.io/library/app'],
  verify: ['image', 'verify'],
  export: ['image', 'export', 'example.com/app', join(dir, 'exported.aci'), '--overwrite'],
  'export of a registry': [
    'image',
    'export',
    'docker://docker.io/library/app',
    join(dir, 'exported.tar'),
    '--overwrite',
  ],
  extract: ['image', 'extract', 'example.com/app', join(dir, 'extracted'), '--overwrite'],
  gc: ['image', 'gc', '--partials-older-than=1ms'],
  fetch: fetching,
  rm: ['image', 'rm', 'example.com/app'],
  'verify --repair': ['image', 'verify', '--repair'],
  'fetch after repair': fetching,
};

/** Of these one is enough where only who writes looks; elsewhere each in turn, unless `LONGSHORE_MISPLACED=all`. */
const readingOnly = ['show', 'cat-manifest', 'export', 'export of a registry', 'extract'];
const runsAll = process.env['LONGSHORE_MISPLACED'] === 'all';

const paths = [
  ...['', '-wal', '-shm', '-journal'].map((suffix) => `index.sqlite${suffix}`),
  'index.json',
  'oci-layout',
  'blobs',
  'blobs/sha512',
  'blobs/sha256',
  `blobs/sha512/${imageId.slice('sha512-'.length)}`,
  'downloads',
  `downloads/${key}`,
  `downloads/${key}/state.json`,
  `downloads/${key}/1.part`,
  'tmp',
  'tmp/stray',
  `tmp/${'a'.repeat(32)}`,
  `tmp/${'a'.repeat(32)}.lock`,
  `tmp/new-${'a'.repeat(32)}.lock`,
];

const kinds: Readonly<Record<string, (path: string) => Promise<void>>> = {
  link: (path) =>
    symlink(/\.|state|lock|wal|shm/.test(path.slice(store.length)) ? join(outside, 'canary') : outside, path),
  pipe: (path) => Promise.resolve(void execFileSync('mkfifo', [path])),
  directory: async (path) => {
    await mkdir(join(path, 'inner'), { recursive: true });
    await symlink(outside, join(path, 'inner', 'link'));
  },
  file: (path) => writeFile(path, 'something else'),
};

async function makeTemplate(): Promise<void> {
  await runHere([...fetching, '--dir', template]);
  const opened = await openStore({ dir: template });
  const { manifest } = await putRegistryImage(opened);
  paths.push(`blobs/sha256/${manifest.digest.slice('sha256:'.length)}`);
  const partial = await opened.openPartial(url);
  await partial.restart({ total: 1000, validator: { kind: 'etag', value: '"1"' } });
  await partial.append([Buffer.alloc(10)]);
  await partial.close();
  await opened.close();
  await mkdir(outside);
  await writeFile(join(outside, 'canary'), 'alive', { mode: 0o600 });
  await writeFile(join(outside, 'lock'), '', { mode: 0o600 });
}

async function isUntouched(): Promise<boolean> {
  const { mode, size } = await lstat(join(outside, 'canary'));
  const names = (await readdir(outside)).sort();
  const above = await lstat(outside);
  const text = await readFile(join(outside, 'canary'), 'utf8');
  return (
    names.join() === 'canary,lock' &&
    text === 'alive' &&
    size === 5 &&
    (mode & 0o777) === 0o600 &&
    (above.mode & 0o777) === 0o755
  );
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

await makeTemplate();
let turn = 0;
for (const path of paths) {
  for (const [kind, make] of Object.entries(kinds)) {
    if (!`${path} ${kind}`.startsWith(pattern)) continue;
    await rm(store, { recursive: true, force: true });
    await cp(template, store, { recursive: true });
    await rm(join(store, path), { recursive: true, force: true });
    await make(join(store, path));
    const reader = readingOnly[(turn += 1) % readingOnly.length];
    for (const [command, args] of Object.entries(commands)) {
      const isLeftOut =
        readingOnly.includes(command) && (/^(downloads|tmp)/.test(path) || (!runsAll && command !== reader));
      if (isLeftOut) continue;
      say({ path, kind, command });
      // one thread, which is started for each command anew
      const { code, stderr } = await runHere([...args, '--dir', store], { LONGSHORE_WORKERS: '1' });
      say({ path, kind, command, code, stderr, untouched: await isUntouched() } satisfies Ran);
    }
  }
}
server.close();
