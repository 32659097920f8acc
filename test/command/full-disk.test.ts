import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { bin } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const MiB = 1024 * 1024;
const run = promisify(execFile);

/** Runs a script of sh(1) in which `longshore` is the command and its store a disk of 12 MiB; undefined where none can be mounted. */
async function onSmallDisk(t: ExecutionContext, script: string) {
  const directory = await temporaryDirectory(t);
  const store = join(directory, 'store');
  await mkdir(store);
  const lines = [
    `mount -t tmpfs -o size=12m tmpfs ${store} || { echo unmountable; exit 0; }`,
    `cd ${directory}`,
    `longshore() { ${process.execPath} ${bin} "$@"; }`,
    script,
  ];
  const env = {
    PATH: process.env['PATH'],
    ...environmentIn(directory),
    LONGSHORE_DIR: store,
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
    LONGSHORE_PROGRESS: 'none',
  };
  const result = await run('unshare', ['-m', 'sh', '-c', lines.join('\n')], { env, timeout: 60_000 }).catch(
    () => undefined,
  );
  if (!result || result.stdout.startsWith('unmountable')) {
    t.log('skipped: this machine does not let us mount');
    t.pass();
    return undefined;
  }
  return {
    ...result,
    read: (name: string) => readFile(join(directory, name), 'utf8'),
    json: async (name: string) => JSON.parse(await readFile(join(directory, name), 'utf8')) as FetchResult,
  };
}

type FetchResult = {
  readonly images: readonly { readonly status: string; readonly error?: { readonly code: string } }[];
  readonly totals: Readonly<Record<string, number>>;
};

/** Eight images of 2 MiB of their own, and 2 MiB that all of them share: 18 MiB. */
async function publish(t: ExecutionContext) {
  const registry = await startRegistry(t);
  const shared = await layerOf({ shared: randomBytes(2 * MiB) });
  const names: string[] = [];
  for (let at = 0; at < 8; at += 1) {
    const own = await layerOf({ [`own-${at}`]: randomBytes(2 * MiB) });
    registry.putImage('app', String(at), { layers: [shared, own] });
    names.push(`docker://${registry.host}/app:${at}`);
  }
  return { registry, names };
}

test('a fetch that does not fit begins only what fits, says so in one line, and goes on when there is room', async (t) => {
  const { names } = await publish(t);
  const asked = names.join(' ');
  const result = await onSmallDisk(
    t,
    `longshore plan --output=json ${asked} >plan.json 2>plan.err; echo "plan $?"
    longshore plan ${asked} 2>/dev/null | tail -n 3 >plan.txt
    longshore fetch --output=json ${asked} >first.json 2>first.err; echo "fetch $?"
    longshore image verify >/dev/null; echo "verify $?"
    mount -o remount,size=64m tmpfs store
    longshore plan ${asked} >/dev/null; echo "plan $?"
    longshore fetch --output=json ${asked} >second.json; echo "again $?"
    longshore image verify >/dev/null; echo "verify $?"`,
  );
  if (!result) return;
  t.is(result.stdout, 'plan 8\nfetch 8\nverify 0\nplan 0\nagain 0\nverify 0\n');
  const { totals: plan } = await result.json('plan.json');
  const { diskNeeded = 0, diskFree = 0, diskMissing = 0 } = plan;
  t.like(plan, { absent: 8, blobs: 8 + 8 + 1, diskNeeded: plan['bytesToFetch'] ?? 0 });
  t.true((plan['bytesShared'] ?? 0) >= 7 * 2 * MiB);
  t.true(diskFree > 10 * MiB && diskFree <= 12 * MiB && diskMissing === diskNeeded - diskFree);
  t.regex(
    await result.read('plan.err'),
    /^error: STORE_FULL: the disk of .*store cannot hold it: .* are missing, .* are needed and .* are free/m,
  );
  t.log(await result.read('plan.txt'), await result.read('plan.err'));
  const [first, second] = [await result.json('first.json'), await result.json('second.json')];
  const failed = first.images.filter(({ status }) => status === 'failed');
  const { fetched = 0 } = first.totals;
  t.true(fetched >= 2 && fetched <= 4, `${fetched} images of 2 MiB fit beside 2 MiB that they share`);
  t.is(failed.length, 8 - fetched);
  t.true(failed.every(({ error }) => error?.code === 'STORE_FULL'));
  const lines = (await result.read('first.err')).trimEnd().split('\n');
  t.log(lines[0]);
  t.is(lines.filter((line) => line.startsWith('error:')).length, 1, lines.join('\n'));
  t.regex(
    lines.at(-1) ?? '',
    new RegExp(
      `^error: STORE_FULL: the disk of .*store is full: ${fetched} images? (?:is|are) there, ${8 - fetched} (?:is|are) missing; at least .* needed and .* free`,
    ),
  );
  t.like(second.totals, { present: fetched, fetched: 8 - fetched, failed: 0 });
});

test('a disk that fills up although the server gave no size is told of in one line, and the store is sound and goes on', async (t) => {
  const registry = await startRegistry(t);
  const small = `${registry.url}/small.aci`;
  registry.routes['/small.aci'] = { body: (await buildAci({ name: 'example.com/small', size: MiB })).bytes };
  const { bytes } = await buildAci({ name: 'example.com/big', size: 16 * MiB });
  registry.routes['/big.aci'] = { body: bytes, chunked: true };
  const result = await onSmallDisk(
    t,
    `longshore fetch --jobs=1 --output=json ${registry.url}/big.aci ${small} >first.json 2>first.err; echo "fetch $?"
    longshore image verify >/dev/null; echo "verify $?"
    longshore fetch ${small} >/dev/null; echo "other $?"`,
  );
  if (!result) return;
  const { images } = await result.json('first.json');
  t.is(images[0]?.error?.code, 'STORE_FULL');
  t.is(result.stdout, 'fetch 8\nverify 0\nother 0\n');
  t.is((await result.read('first.err')).match(/^error: STORE_FULL: .*"longshore plan"/gm)?.length, 1);
});

test('an import that does not fit lists nothing and gives back its space; with room it is done', async (t) => {
  const result = await onSmallDisk(
    t,
    `mkdir -p layout/blobs/sha256; printf '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout
    for i in 1 2 3 4 5 6 7 8 9; do
      head -c 2000000 /dev/urandom >blob; mv blob layout/blobs/sha256/$(sha256sum blob | cut -d' ' -f1)
    done
    printf '{"schemaVersion":2,"manifests":[]}' >layout/index.json
    tar -cf images.tar -C layout oci-layout blobs index.json
    longshore image import images.tar 2>first.err; echo "import $?"
    longshore image list --no-legend; ls store/blobs/sha256 | wc -l; ls store/tmp | wc -l
    mount -o remount,size=64m tmpfs store
    longshore image import images.tar 2>second.err; echo "import $?"`,
  );
  if (!result) return;
  t.deepEqual(result.stdout.trim().split(/\s*\n/), ['import 8', '0', '0', 'import 0']);
  t.regex(await result.read('first.err'), /^error: STORE_FULL: /m);
});
