import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { phases } from '../../src/measure/phases.ts';
import { statuses } from '../../src/report/data.ts';
import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startPushTarget, type TargetOptions } from '../helpers/push-target.ts';
import { startRegistry } from '../helpers/registry.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** A store with two images of a registry and an archive, and a registry to push to. */
async function openStoreToPush(t: ExecutionContext, options: TargetOptions = {}) {
  const directory = await temporaryDirectory(t);
  const [registry, target] = [await startRegistry(t), await startPushTarget(t, options)];
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
  };
  const longshore = (...args: readonly string[]) => runHere(args, environment);
  const digests = ['a', 'b'].map((name) => registry.putImage(`team/${name}`, '1', { layers: ['shared', name] }).digest);
  const references = ['a', 'b'].map((name) => `docker://${registry.host}/team/${name}:1`);
  const archive = join(directory, 'app.aci');
  const { bytes, imageId } = await buildAci({ name: 'example.com/app' });
  await writeFile(archive, bytes);
  const { code } = await longshore(
    'fetch',
    '--keep=oci',
    '--platform=linux/amd64',
    '--progress=none',
    ...references,
    archive,
  );
  t.is(code, 0);
  return { directory, target, longshore, digests, references, imageId, to: `docker://${target.host}/mirror` };
}

test('the images of a list are pushed in their order, an archive among them is skipped with one line', async (t) => {
  const { directory, target, longshore, digests, references, to } = await openStoreToPush(t);
  const list = join(directory, 'list.txt');
  await writeFile(list, [references[1], 'example.com/app', references[0]].join('\n'));
  const { code, stdout, stderr } = await longshore('push', '-f', list, '--to', to);
  t.is(code, 0, stderr);
  const lines = [`${target.host}/mirror/team/b@${digests[1]}`, `${target.host}/mirror/team/a@${digests[0]}`];
  t.is(stdout, lines.map((line) => `${line}\n`).join(''));
  t.is(stderr.match(/^warning: example\.com\/app is skipped: an archive/gm)?.length, 1);
  t.regex(stderr, /^pushed docker:\/\/\S+team\/a:1: /m);
  t.regex(stderr, /^3 images: 2 pushed, 1 skipped; 5 blobs of .* sent, 1 mounted, in /m);
});

test('all images of the store are pushed, as JSON with events beside it', async (t) => {
  const { directory, longshore, digests, to, imageId } = await openStoreToPush(t);
  const events = join(directory, 'events');
  const pushed = await longshore('push', '--all', '--to', to, '--output=json', '--events', events, '--progress=none');
  t.is(pushed.code, 0, pushed.stderr);
  const result = JSON.parse(pushed.stdout) as { readonly images: readonly { readonly digest?: string }[] };
  t.deepEqual(Object.keys(result), ['schema', 'images', 'totals']);
  t.like(result, { schema: 'longshore.push/1', totals: { images: 3, pushed: 2, skipped: 1, failed: 0 } });
  t.deepEqual(result.images.flatMap(({ digest }) => digest ?? []).toSorted(), digests.toSorted());
  t.is(pushed.stderr, `warning: ${imageId} is skipped: an archive (ACI), which a registry does not take\n`);
  const types = (await readFile(events, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { type: string }).type);
  t.is(types[0], 'push-started');
  t.is(types.at(-1), 'push-finished');
  for (const type of ['node-added', 'upload-started', 'upload-progress', 'upload-finished', 'image-pushed', 'warning'])
    t.true(types.includes(type), type);
});

test('a registry that is read-only is named as what it may be, and a store without images is told of', async (t) => {
  const { directory, longshore, references, to } = await openStoreToPush(t, {
    intercept: ({ method, response }) => method === 'POST' && Boolean(response.writeHead(405).end()),
  });
  const refused = await longshore('push', ...references, '--to', to);
  t.is(refused.code, 7);
  t.regex(refused.stderr, /HTTP_STATUS: .*405\. Check the registry: it may be read-only\.$/m);
  const empty = await longshore('push', '--dir', join(directory, 'elsewhere'), '--all', '--to', to);
  t.is(empty.code, 0);
  t.regex(empty.stderr, /^warning: \S*elsewhere has no images to push$/m);
});

test('a page shows a push: each image with how it ended, when it was sent and how many bytes', async (t) => {
  const { directory, longshore, references, to } = await openStoreToPush(t);
  const page = join(directory, 'push.html');
  const push = (...more: readonly string[]) =>
    longshore('push', '--all', '--to', to, '--report', page, '--progress=none', ...more);
  type Row = readonly [reference: string, parent: number, status: number, spans: readonly number[], ...rest: unknown[]];
  const rowsOf = async (): Promise<readonly Row[]> => {
    const [, json = ''] = /id="data">(.*?)<\/script>/s.exec(await readFile(page, 'utf8')) ?? [];
    return (JSON.parse(json) as { readonly rows: readonly Row[] }).rows;
  };
  const ended = async () => (await rowsOf()).map(([reference, , at]) => `${reference}: ${statuses[at]}`).toSorted();
  const names = references.map((reference) => reference.slice('docker://'.length));
  t.is((await push()).code, 0);
  const text = await readFile(page, 'utf8');
  t.regex(
    text,
    /<title>longshore push<\/title>.*>2 of 3 images are there, and nothing failed\..*<dt>Sent<\/dt><dd>[1-9]/s,
  );
  const [visible = ''] = text
    .replace(/<style>.*?<\/style>/s, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .split('{"startedAt"');
  t.notRegex(visible, /[Dd]ownload/);
  const first = await ended();
  t.deepEqual(
    first.filter((line) => !line.startsWith('sha512-')),
    names.map((name) => `${name}: pushed`).toSorted(),
  );
  t.is(first.filter((line) => /^sha512-.*: skipped$/.test(line)).length, 1);
  for (const [reference, , , spans] of await rowsOf())
    t.is(spans.includes(phases.indexOf('download')), !reference.startsWith('sha512-'), reference);

  t.is((await push()).code, 0);
  t.deepEqual((await ended()).filter((line) => line.endsWith(': present')).length, 2);
  t.is((await longshore('push', '--all', '--to', to, '--report', '/nowhere/push.html')).code, 2);
});

test('a dry run shows what would go where, and sends nothing', async (t) => {
  const { target, longshore, digests, references, to } = await openStoreToPush(t);
  const { code, stdout } = await longshore('push', '--all', '--dry-run', '--to', to, '--progress=none');
  t.is(code, 0);
  const line = stdout.split('\n').toSorted()[1] ?? '';
  t.true(
    line.startsWith(`${references[0]?.slice('docker://'.length)} -> ${target.host}/mirror/team/a:1@${digests[0]} (`),
    line,
  );
  t.deepEqual(target.requests, []);
});

test('an archive that is named alone, or an image that is not there, is not found', async (t) => {
  const { longshore, to, target } = await openStoreToPush(t);
  const archive = await longshore('push', 'example.com/app', '--to', to);
  t.is(archive.code, 4);
  t.regex(
    archive.stderr,
    /^error: example\.com\/app: NOT_IN_STORE: it is an archive \(ACI\), which a registry does not take.*--format=bundle/m,
  );
  t.is((await longshore('push', 'docker://localhost/none', '--to', to)).code, 4);
  t.deepEqual(target.requests, []);
});

const wrong: Readonly<Record<string, readonly [readonly string[], RegExp]>> = {
  'without a target': [['--all'], /--to: say where to push/],
  'without images': [['--to', 'docker://localhost'], /name at least one image, or a list with -f, or --all/],
  'to no registry': [['--all', '--to', 'https://localhost'], /--to: images are pushed to a registry/],
  'to a tag': [['--all', '--to', 'docker://localhost/app:1'], /--to: not the name of a repository/],
  'with a password': [
    ['--all', '--to', 'docker://user:secret@localhost'],
    /--to: user names, passwords and digests are refused/,
  ],
  'of files': [
    ['./a.aci', 'docker://UPPER/Case', '--to', 'docker://localhost'],
    /a\.aci: REFERENCE_INVALID[^]*Case: REFERENCE_INVALID/,
  ],
  'to a mirror': [['--all', '--mirror', 'docker.io=http://localhost', '--to', 'docker://localhost'], /mirror/],
};
for (const [what, [args, message]] of Object.entries(wrong)) {
  test(`a push ${what} is a wrong use, and nothing is on the standard output`, async (t) => {
    const directory = await temporaryDirectory(t);
    const { code, stdout, stderr } = await runHere(['push', ...args], { HOME: directory, LONGSHORE_DIR: directory });
    t.is(code, 2, stderr);
    t.is(stdout, '');
    t.regex(stderr, message);
    t.false(stderr.includes('secret'));
  });
}

test('two images with one name at the target are a wrong use; with --scoped they are two', async (t) => {
  const { longshore, references, to, target } = await openStoreToPush(t);
  const other = await startRegistry(t);
  other.putImage('team/a', '1', { layers: ['other'] });
  await longshore('fetch', '--keep=oci', '--platform=linux/amd64', `docker://${other.host}/team/a:1`);
  const { code, stdout, stderr } = await longshore('push', '--all', '--to', to);
  t.is(code, 2);
  t.is(stdout, '');
  t.regex(stderr, /same name at the target.*\. Keep their hosts in the names with --scoped/);
  const json = await longshore('push', '--all', '--to', to, '--output=json');
  t.deepEqual([json.code, json.stdout], [2, ''], 'no begin of a document');
  t.true(stderr.includes(references[0]?.slice('docker://'.length) ?? '-'));
  t.deepEqual(target.requests, []);
  t.is((await longshore('push', '--all', '--scoped', '--to', to, '--progress=none')).code, 0);
});
