import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { ExecutionContext } from 'ava';

import { configFor, type LayerBytes, sha256, temporary } from './layers.ts';

const run = promisify(execFile);
export const hasUmoci = spawnSync('umoci', ['--version']).status === 0;

/** @returns where the root is. Directories that no entry is there for have mode 755. */
export async function unpackWithUmoci(t: ExecutionContext, layers: readonly LayerBytes[]): Promise<string> {
  const root = await temporary(t);
  const layout = join(root, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const add = async (bytes: Buffer, mediaType: string) => {
    await writeFile(join(layout, 'blobs/sha256', sha256(bytes).slice('sha256:'.length)), bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  const kind = 'application/vnd.oci.image';
  const manifest = {
    schemaVersion: 2,
    config: await add(configFor(layers), `${kind}.config.v1+json`),
    layers: await Promise.all(layers.map(({ blob }) => add(blob, `${kind}.layer.v1.tar+gzip`))),
  };
  const named = await add(Buffer.from(JSON.stringify(manifest)), `${kind}.manifest.v1+json`);
  const annotations = { 'org.opencontainers.image.ref.name': 'test' };
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...named, annotations }] }),
  );
  const bundle = join(root, 'bundle');
  const isRoot = process.getuid?.() === 0;
  const unpack = ['umoci', 'unpack', ...(isRoot ? [] : ['--rootless']), '--image', `${layout}:test`, bundle];
  await run('sh', ['-c', 'umask 022; exec "$@"', 'sh', ...unpack]);
  return join(bundle, 'rootfs');
}

/** Type, mode, time, size, number of names, target and path of everything, and the content of files. */
export function describeTree(root: string): readonly string[] {
  const list = execFileSync(
    'find',
    ['.', '-type', 'd', '-printf', '%y %m %T@ %p\n', '-o', '-printf', '%y %m %T@ %s %n %l %p\n'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  const sums = execFileSync('find', ['.', '-type', 'f', '-exec', 'sha256sum', '{}', '+'], {
    cwd: root,
    encoding: 'utf8',
  });
  return `${list}${sums}`.split('\n').sort();
}
