import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { commitBlob, openTestStore } from '../helpers/blob.ts';
import { putRegistryImage } from '../helpers/registry-image.ts';

const execute = promisify(execFile);

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}

/** Tests that need a program are skipped where it is not installed. */
function needing(program: string): typeof test | typeof test.skip {
  return spawnSync(program, ['--version']).status === 0 ? test : test.skip;
}
const withSkopeo = needing('skopeo');
const withUmoci = needing('umoci');

const reference = 'docker.io/library/busybox:1';

/** A store with an image of each kind. */
async function filled(store: Store): Promise<string> {
  await commitBlob(store);
  await putRegistryImage(store, { reference: `docker.io/library/app@sha256:${'0'.repeat(64)}`, content: 'pinned' });
  const { manifest } = await putRegistryImage(store, { reference, content: 'tagged' });
  await store.writeOciIndex();
  return manifest.digest;
}

withSkopeo('skopeo inspects an image of the store by its reference', async (t) => {
  const store = await openTestStore(t);
  const digest = await filled(store);
  const inspected = JSON.parse(await run('skopeo', 'inspect', `oci:${store.dir}:${reference}`)) as unknown;
  t.like(inspected, { Digest: digest, Os: 'linux', Architecture: 'amd64', Env: ['CONTENT=tagged'] });
  const pinned = `oci:${store.dir}:docker.io/library/app@sha256:${'0'.repeat(64)}`;
  t.like(JSON.parse(await run('skopeo', 'inspect', pinned)), { Env: ['CONTENT=pinned'] });
});

withSkopeo('what skopeo copies out of the store and into it is kept by both', async (t) => {
  const store = await openTestStore(t);
  const digest = await filled(store);
  const copy = (from: string, to: string) => run('skopeo', '--insecure-policy', 'copy', `oci:${from}`, `oci:${to}`);
  await copy(`${store.dir}:${reference}`, `${store.dir}-copy:other`);
  await using source = await openStore({ dir: `${store.dir}-source` });
  const foreign = await putRegistryImage(source, { reference: 'docker.io/library/foreign:1', content: 'foreign' });
  await source.writeOciIndex();

  await copy(`${source.dir}:${foreign.reference}`, `${store.dir}:theirs:1`);
  await putRegistryImage(store, { reference: 'docker.io/library/app:2', content: '2' });
  await store.removeRegistryImage('docker.io/library/app:2');
  await store.collect({ nowMs: Date.now() + 1e9, partialsOlderThanMs: 0 });
  await store.close();

  t.like(JSON.parse(await run('skopeo', 'inspect', `oci:${store.dir}:theirs:1`)), { Env: ['CONTENT=foreign'] });
  t.like(JSON.parse(await run('skopeo', 'inspect', `oci:${store.dir}:${reference}`)), { Digest: digest });
  t.true(foreign.blobs.every((blob) => existsSync(store.digestPath(blob))));
});

withSkopeo('a name that skopeo gave to another image is still theirs after the next write', async (t) => {
  const store = await openTestStore(t);
  await filled(store);
  const other = `oci:${store.dir}:docker.io/library/app@sha256:${'0'.repeat(64)}`;
  await run('skopeo', '--insecure-policy', 'copy', other, `oci:${store.dir}:${reference}`);

  await putRegistryImage(store, { reference: 'docker.io/library/app:2', content: '2' });
  await store.close();

  t.like(JSON.parse(await run('skopeo', 'inspect', `oci:${store.dir}:${reference}`)), { Env: ['CONTENT=pinned'] });
});

withUmoci('umoci lists the references, tags an image, and unpacks it', async (t) => {
  const store = await openTestStore(t);
  await filled(store);
  const listed = await run('umoci', 'ls', '--layout', store.dir);
  t.deepEqual(listed.trim().split('\n').sort(), [`docker.io/library/app@sha256:${'0'.repeat(64)}`, reference]);

  await run('umoci', 'tag', '--image', `${store.dir}:${reference}`, 'mine');
  await putRegistryImage(store, { reference: 'docker.io/library/app:2', content: '2' });
  await store.close();

  t.regex(await run('umoci', 'ls', '--layout', store.dir), /^mine$/m);
  const bundle = `${store.dir}-bundle`;
  await run('umoci', 'unpack', '--rootless', '--image', `${store.dir}:${reference}`, bundle);
  t.true(existsSync(join(bundle, 'rootfs')));
});
