import { glob, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { attachedTag, putAttached, putBuilt } from '../helpers/attached.ts';
import { damageFile } from '../helpers/damage.ts';
import { environmentIn } from '../helpers/environment.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startPushTarget } from '../helpers/push-target.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits, schemaNames } from '../helpers/schemas.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

type Document = { readonly images: readonly object[]; readonly nodes?: readonly object[]; readonly totals: object };
type Event = { readonly type: string; readonly batch?: number } & Record<string, unknown>;

/** The command, with archives that need others at an origin, and images of a registry. */
async function openCommand(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const [origin, registry] = [await startOrigin(t), await startRegistry(t)];
  const needs = (imageName: string) => ({ dependencies: [{ imageName }] });
  await origin.publish({ name: 'example.com/base', size: 200_000 });
  await origin.publish({ name: 'example.com/app', version: '1', ...needs('example.com/base') });
  await origin.publish({ name: 'example.com/other', version: '1', ...needs('example.com/base') });
  await origin.publish({ name: 'example.com/broken', version: '1', ...needs('example.com/missing') });
  const { index } = putBuilt(registry, 'team/app', '1');
  registry.putImage('team/tool', '1', { layers: [await layerOf({ a: 'a' }), await layerOf({ b: 'b' })] });
  await writeFile(at('file.aci'), (await buildAci({ name: 'example.com/file' })).bytes);
  await writeFile(at('bad.aci'), 'no archive');
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_USER_CONFIG: at('user'),
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
    LONGSHORE_DISCOVER: `example.com=${origin.url}`,
    LONGSHORE_RETRIES: '1',
  };
  const longshore = (...args: readonly string[]) => runHere([...args], environment);
  const of = (name: string): string => `docker://${registry.host}/team/${name}`;
  const asked = [
    ...['example.com/app:1', 'example.com/other:1', 'example.com/broken:1', 'example.com/app:1'],
    ...[of('tool:1'), of('nothing:1'), at('file.aci'), at('bad.aci'), at('missing.aci'), `${origin.url}/gone.aci`],
  ];
  return { at, longshore, registry, index, of, asked };
}

async function readEvents(t: ExecutionContext, path: string): Promise<readonly Event[]> {
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => fits(t, line) as Event);
}

/** The result document, made of the events of its run. */
function replay(schema: string, events: readonly Event[]): Document {
  const images: object[] = [];
  const nodes: object[] = [];
  let totals: object = {};
  for (const event of events) {
    const outcome = event['outcome'] as { readonly index?: number } | undefined;
    if (outcome?.index === undefined) nodes.push(...(outcome ? [outcome] : []));
    else {
      for (const one of [{}, ...((event['also'] ?? []) as readonly { readonly index?: number }[])])
        images[one.index ?? outcome.index] = { ...outcome, ...one };
    }
    if (event['totals']) totals = event['totals'];
  }
  return { schema, images, ...(schema === 'longshore.fetch/1' && { nodes }), totals } as Document;
}

test('the result and the events of a fetch fit their schemas, and the events tell the whole result', async (t) => {
  const { at, longshore, asked } = await openCommand(t);
  for (const events of [at('first'), at('second')]) {
    const run = ['fetch', ...asked, '--output=json', '--progress=none', '--platform=linux/amd64', '--events', events];
    const { code, stdout, stderr } = await longshore(...run);
    t.is(code, 3, stderr);
    const document = fits(t, stdout) as unknown as Document;
    t.is(document.images.length, asked.length);
    t.true((document.nodes?.length ?? 0) >= 1);
    t.is(JSON.stringify(replay('longshore.fetch/1', await readEvents(t, events))), JSON.stringify(document));
  }
});

test('so do those of a push, and of a dry run', async (t) => {
  const { at, longshore, of } = await openCommand(t);
  const target = await startPushTarget(t);
  const fetched = await longshore('fetch', of('tool:1'), at('file.aci'), '--platform=linux/amd64', '--progress=none');
  t.is(fetched.code, 0, fetched.stderr);
  for (const [events, how] of [
    ['dry', ['--all', '--dry-run']],
    ['all', ['--all']],
    ['named', [of('tool:1'), 'example.com/nothing', 'example.com/file']],
  ] as const) {
    const to = ['--to', `docker://${target.host}/mirror`, '--output=json', '--progress=none', '--events', at(events)];
    const { stdout } = await longshore('push', ...how, ...to);
    const document = fits(t, stdout);
    t.is(JSON.stringify(replay('longshore.push/1', await readEvents(t, at(events)))), JSON.stringify(document));
  }
});

test('a plan fits its schema, before the fetch and after it', async (t) => {
  const { longshore, asked } = await openCommand(t);
  for (const policy of ['new', 'never']) {
    const plan = ['plan', ...asked, '--output=json', '--platform=linux/amd64', `--pull-policy=${policy}`];
    fits(t, (await longshore(...plan)).stdout);
    await longshore('fetch', ...asked, '--progress=none', '--platform=linux/amd64');
  }
});

test('what is told of the store fits its schemas: lists, single images, damage, a lost index', async (t) => {
  const { at, longshore, of, registry, index } = await openCommand(t);
  putAttached(registry, 'team/app', { tag: attachedTag(index, '.sig') });
  const both = [
    'example.com/app:1',
    at('file.aci'),
    of('tool:1'),
    '--keep=both',
    '--keep-archives',
    '--platform=linux/amd64',
  ];
  for (const asked of [both, [of('app:1'), '--platform=all', '--referrers']]) {
    const { code, stderr } = await longshore('fetch', ...asked, '--progress=none');
    t.is(code, 0, stderr);
  }
  const { images } = fits(t, (await longshore('image', 'list', '--output=json')).stdout) as {
    images: readonly { imageID: string; reference?: string }[];
  };
  t.true(images.length >= 4);
  for (const { imageID, reference } of images) {
    const { stdout, stderr } = await longshore('image', 'show', reference ?? imageID, '--output=json');
    t.regex(stdout, /^\{/, stderr);
    fits(t, stdout);
  }
  fits(t, (await longshore('image', 'verify', '--output=json')).stdout);
  for await (const path of glob('store/blobs/*/*', { cwd: at('.') })) await damageFile(at(path), 'cut');
  fits(t, (await longshore('image', 'verify', '--output=json')).stdout);
  fits(t, (await longshore('image', 'verify', '--repair', '--output=json')).stdout);
});

test('the trusted keys fit their schema', async (t) => {
  const { at, longshore } = await openCommand(t);
  await using gpg = await openGpg();
  for (const [name, ...where] of [
    ['Root', '--root'],
    ['Team', '--prefix', 'example.com/team'],
  ] as const) {
    await writeFile(
      at('key.asc'),
      await gpg.certificate(await gpg.createKey({ userId: name, expires: name === 'Root' ? 'never' : '1y' })),
    );
    const { code, stderr } = await longshore('trust', at('key.asc'), ...where, '--skip-fingerprint-review');
    t.is(code, 0, stderr);
  }
  const { keys } = fits(t, (await longshore('trust', 'list', '--output=json')).stdout) as { keys: readonly object[] };
  t.is(keys.length, 2);
});

test('a lock file fits its schema', async (t) => {
  const { at, longshore, of } = await openCommand(t);
  const asked = ['example.com/app:1', of('tool:1'), at('file.aci'), '--platform=linux/amd64'];
  const { code, stderr } = await longshore('fetch', ...asked, '--lock', at('lock.json'), '--progress=none');
  t.is(code, 0, stderr);
  fits(t, await readFile(at('lock.json'), 'utf8'));
});

test('a prune fits its schema, what would go and what went', async (t) => {
  const { at, longshore, of } = await openCommand(t);
  const asked = ['example.com/app:1', of('tool:1'), at('file.aci'), '--platform=linux/amd64'];
  t.is((await longshore('fetch', ...asked, '--progress=none')).code, 0);
  await writeFile(at('keep.txt'), 'example.com/app:1\n');
  for (const dry of [['--dry-run'], []]) {
    const { stdout, stderr } = await longshore('image', 'prune', '-f', at('keep.txt'), '--output=json', ...dry);
    const { removed } = fits(t, stdout) as { removed: readonly object[] };
    t.is(removed.length, 2, stderr);
  }
});

test('what lists name fits its schema: images, selections of tags, notes', async (t) => {
  const { at, longshore } = await openCommand(t);
  const compose = 'services:\n  a: {image: "nginx:1", platform: linux/arm64}\n  b: {build: .}\n';
  const sync =
    'quay.io:\n  images: {team/a: ["1"]}\n  images-by-tag-regex: {team/b: ^1}\n  images-by-semver: {team/c: ">=1"}\n';
  await writeFile(at('compose.yaml'), compose);
  await writeFile(at('sync.yaml'), sync);
  await writeFile(at('list.txt'), './a.aci signature=a.asc\n');
  const lists = ['compose.yaml', 'sync.yaml', 'list.txt'].map(at);
  const { stdout, stderr } = await longshore('list', ...lists, '--output=json');
  t.regex(stdout, /^\{/, stderr);
  const { references, notes } = fits(t, stdout) as Record<'references' | 'notes', readonly object[]>;
  t.deepEqual([references.length, notes.length], [5, 1]);
});

test('every document that the command writes has a schema in the package, which whoever has the package can import', async (t) => {
  const root = join(import.meta.dirname, '../..');
  const written = new Set<string>();
  for await (const path of glob('src/**/*.ts', { cwd: root })) {
    const text = await readFile(join(root, path), 'utf8');
    for (const [, name, version] of text.matchAll(/longshore\.([a-z]+)\/(\d)/g)) written.add(`${name}-${version}`);
  }
  written.delete('bench-1'); // read by the command alone
  t.deepEqual(
    [...written].filter((name) => !schemaNames.includes(name)),
    [],
  );
  for (const name of schemaNames)
    t.true(import.meta.resolve(`longshore/schemas/${name}.json`).endsWith(`/schemas/${name}.json`));
});
