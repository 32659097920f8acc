import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { startDockerRegistry, writeLayout } from '../helpers/docker-registry.ts';
import { environmentIn } from '../helpers/environment.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const run = promisify(execFile);

type Result = {
  readonly images: readonly { readonly status: string; readonly imageID: string; readonly digest: string }[];
  readonly totals: { readonly requests: number; readonly bytesDownloaded: number };
};

/** Debian's registry with an image for two processors, and longshore with a store; undefined where it cannot be had. */
async function pushed(t: ExecutionContext, ...options: readonly string[]) {
  const registry = await startDockerRegistry(t);
  if (!registry) return undefined;
  const directory = await temporaryDirectory(t);
  const tar = await layerOf({ 'etc/hostname': 'a'.repeat(200_000) });
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  const layout = join(directory, 'layout');
  const top = await writeLayout(layout, ['amd64', 'arm64'], gzipSync(tar), diffId);
  await registry.push(layout, 'team/app:1', '--all', ...options);
  const store = join(directory, 'store');
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_DIR: store,
  };
  return {
    top,
    store,
    name: `${registry.host}/team/app:1`,
    longshore: (...args: readonly string[]) => runHere(args, environment),
    fetchJson: async (...args: readonly string[]) => {
      const { code, stdout } = await runHere(['fetch', '--output=json', ...args], environment);
      t.is(code, 0);
      return JSON.parse(stdout) as Result;
    },
  };
}

test('an image pushed by skopeo is kept as it came, for skopeo to read, and the second time is present', async (t) => {
  const fixture = await pushed(t);
  if (!fixture) return;
  const { name, store, top, longshore, fetchJson } = fixture;
  const first = await longshore('fetch', `docker://${name}`);
  t.is(first.code, 0);
  t.regex(first.stdout, /^sha256:[0-9a-f]{64}\n$/);

  const inspected = JSON.parse((await run('skopeo', ['inspect', `oci:${store}:${name}`])).stdout) as unknown;
  t.like(inspected, { Os: 'linux', Architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' });
  const copy = ['copy', '--insecure-policy', `oci:${store}:${name}`, `oci:${store}-copy:app`];
  await t.notThrowsAsync(run('skopeo', copy));
  t.regex((await longshore('image', 'list', '--full')).stdout, new RegExp(first.stdout.trim()));

  const { images, totals } = await fetchJson(`docker://${name}`);
  t.like(images[0], { status: 'present', imageID: first.stdout.trim(), digest: first.stdout.trim() });
  t.deepEqual([totals.requests, totals.bytesDownloaded], [0, 0]);
  const { images: pinned } = await fetchJson(`docker://${name.replace(/:1$/, '')}@${top.digest}`);
  t.is(pinned[0]?.status, 'fetched');
});

test('a docker manifest is kept as it came, with a second one that skopeo can read', async (t) => {
  const fixture = await pushed(t, '--format', 'v2s2');
  if (!fixture) return;
  const { name, store, fetchJson } = fixture;
  await fetchJson(`docker://${name}`);
  const inspected = JSON.parse((await run('skopeo', ['inspect', '--raw', `oci:${store}:${name}`])).stdout) as unknown;
  t.like(inspected, { mediaType: 'application/vnd.oci.image.manifest.v1+json' });
});

test('a store of images with archives answers with the digest, unless an archive is asked for', async (t) => {
  const fixture = await pushed(t);
  if (!fixture) return;
  const { name, longshore, fetchJson } = fixture;
  const both = await longshore('fetch', '--keep=both', '--full', `docker://${name}`);
  t.regex(both.stdout, /^sha512-[0-9a-f]{128}\n$/);
  for (const policy of ['new', 'never', 'update']) {
    const { images } = await fetchJson(`--pull-policy=${policy}`, `docker://${name}`);
    const [image] = images;
    t.deepEqual([image?.status, image?.imageID], ['present', image?.digest], policy);
    const asked = await fetchJson(`--pull-policy=${policy}`, '--keep=both', `docker://${name}`);
    t.like(asked.images[0], { status: 'present', imageID: both.stdout.trim(), digest: image?.digest });
  }
});

test('all platforms go through the store by skopeo, are shown and extracted for this machine, and are removed as one', async (t) => {
  const fixture = await pushed(t);
  if (!fixture) return;
  const { name, store, top, longshore, fetchJson } = fixture;
  t.is((await longshore('fetch', '--platform=all', `docker://${name}`)).stdout, `${top.digest}\n`);
  const copy = ['copy', '--all', '--quiet', '--insecure-policy', '--dest-tls-verify=false'];
  await run('skopeo', [...copy, `oci:${store}:${name}`, `docker://${name}-copy`]);
  const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', '--raw', `docker://${name}-copy`]);
  t.is(`sha256:${createHash('sha256').update(stdout).digest('hex')}`, top.digest);

  const { images } = await fetchJson('--platform=linux/amd64,linux/arm64', `docker://${name}`);
  t.like(images[0], { status: 'present', imageID: top.digest, digest: top.digest });
  t.like(images[0], { platforms: ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture })) });
  const shown = JSON.parse((await longshore('image', 'show', `docker://${name}`, '--output=json')).stdout) as object;
  t.like(shown, { digest: top.digest, platforms: [{ architecture: 'amd64' }, { architecture: 'arm64' }] });
  const text = await longshore('image', 'show', `docker://${name}`);
  t.regex(text.stdout, /Platform: +linux\/amd64\nPlatform: +linux\/arm64\n/);
  const tree = `${store}-tree`;
  t.is((await longshore('image', 'extract', '--rootfs-only', `docker://${name}`, tree)).code, 0);
  t.is((await readFile(join(tree, 'etc/hostname'), 'utf8')).length, 200_000);
  t.is((await longshore('image', 'export', `docker://${name}`, `${store}-layout/`)).code, 0);
  await run('skopeo', [...copy, `oci:${store}-layout:${name}`, `dir:${store}-dir`]);
  t.is((await longshore('image', 'verify')).code, 0);
  t.is((await longshore('image', 'rm', top.digest)).code, 0);
  t.deepEqual(await readdir(join(store, 'blobs/sha256')), []);

  const refused = await longshore('fetch', '--platform=all', '--keep=both', `docker://${name}`);
  t.deepEqual([refused.code, refused.stdout], [2, '']);
});

test('what cosign has attached to an image in a docker registry comes along, and is shown', async (t) => {
  const fixture = await pushed(t);
  if (!fixture) return;
  const { name, top, longshore } = fixture;
  const copy = ['copy', '--quiet', '--insecure-policy', '--src-tls-verify=false', '--dest-tls-verify=false'];
  const tag = `${top.digest.replace(':', '-')}.sig`;
  await run('skopeo', [...copy, `docker://${name}`, `docker://${name.replace(/:1$/, '')}:${tag}`]);
  t.is((await longshore('fetch', '--referrers', `docker://${name}`)).code, 0);
  const { stdout } = await longshore('image', 'show', `docker://${name}`);
  t.regex(stdout, new RegExp(`Attached: +sha256:[0-9a-f]{64} application/vnd.oci.image.config.v1\\+json ${tag}\n`));
  const shown = JSON.parse((await longshore('image', 'show', `docker://${name}`, '--output=json')).stdout) as object;
  t.like(shown, { referrers: [{ tag, subject: top.digest }] });
});
