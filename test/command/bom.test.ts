import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { type Component, readBom, valuesOf } from '../helpers/cyclonedx.ts';
import { startDockerRegistry, writeLayout } from '../helpers/docker-registry.ts';
import { startOrigin } from '../helpers/origin.ts';
import { preload, withoutGrace } from '../helpers/preload.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { until } from '../helpers/until.ts';

const environment = { LONGSHORE_INSECURE_OPTIONS: 'image,http', LONGSHORE_PROGRESS: 'none' };

async function opened(t: ExecutionContext, nodeOptions = '') {
  const shell = await openShell(t, nodeOptions);
  const at = (path: string): string => join(shell.directory, path);
  return {
    ...{ at, directory: shell.directory },
    run: (line: string, more = {}) => shell.run(`longshore ${line}`, { ...environment, ...more }),
    start: (line: string) => shell.start(`exec longshore ${line}`, environment),
    text: (path = 'bom.json') => readFile(at(path), 'utf8'),
    read: async (path = 'bom.json') => readBom(t, await readFile(at(path), 'utf8')),
  };
}

function named(components: readonly Component[], name: string): Component {
  const component = components.find((one) => one.name === name);
  if (!component) throw new Error(`no ${name}`);
  return component;
}

test('a bill of materials names archives and what they need, with their hashes and where they came from', async (t) => {
  const { at, directory, run, read } = await opened(t);
  const origin = await startOrigin(t);
  const base = await origin.publish({ name: 'example.com/base' });
  const app = await origin.publish({
    ...{ name: 'example.com/app', version: '1.0+a', compression: 'gzip' },
    labels: { os: 'linux', arch: 'aarch64' },
    dependencies: [{ imageName: 'example.com/base' }],
  });
  const file = await buildAci({ name: 'example.com/file' });
  await writeFile(at('ä b.aci'), file.bytes);
  const { code, stderr } = await run(
    `fetch --discover example.com=${origin.url} '${app.url}' './ä b.aci' '${app.url}' --bom bom.json`,
  );
  t.is(code, 0, stderr);
  const { components, dependencies, metadata, serialNumber } = await read();
  t.regex(serialNumber, /^urn:uuid:[0-9a-f-]{36}$/);
  t.like(metadata, {
    tools: { components: [{ type: 'application', name: 'longshore' }] },
    properties: [{ name: 'longshore:complete', value: 'true' }],
  });
  t.is(components.length, 3);
  t.deepEqual(dependencies.toSorted((a, b) => b.dependsOn.length - a.dependsOn.length)[0], {
    ref: app.imageId,
    dependsOn: [base.imageId],
  });
  const found = named(components, 'example.com/app');
  const sha256 = createHash('sha256').update(app.bytes).digest('hex');
  t.like(found, {
    ...{ type: 'application', 'bom-ref': app.imageId, version: '1.0+a' },
    hashes: [{ alg: 'SHA-512', content: app.imageId.slice('sha512-'.length) }],
    externalReferences: [{ type: 'distribution', url: app.url, hashes: [{ alg: 'SHA-256', content: sha256 }] }],
  });
  const { purl } = found;
  t.true(
    purl.startsWith(`pkg:generic/example.com/app@1.0%2Ba?arch=arm64&checksum=sha256:${sha256}&download_url=`),
    purl,
  );
  t.is(new URL(purl).searchParams.get('download_url'), app.url);
  t.deepEqual(valuesOf(found, 'verified'), ['false']);
  t.deepEqual(valuesOf(found, 'signer'), []);
  t.like(named(components, 'example.com/file'), {
    'bom-ref': file.imageId,
    externalReferences: [{ url: `file://${directory}/${encodeURIComponent('ä b.aci')}` }],
  });
});

test('an image of a registry has its digest, its repository and its tag, and is one component for several tags', async (t) => {
  const { at, run, read } = await opened(t);
  const registry = await startDockerRegistry(t);
  if (!registry) return;
  const tar = await layerOf({ a: 'a' });
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  await writeLayout(at('layout'), ['amd64', 'arm64'], gzipSync(tar), diffId);
  for (const name of ['team/app:2', 'team/app:1', 'other/app:1']) await registry.push(at('layout'), name, '--all');
  const of = (name: string): string => `docker://${registry.host}/${name}`;
  const asked = ['team/app:2', 'team/app:1', 'other/app:1'].map(of).join(' ');
  const { code, stdout, stderr } = await run(`fetch --full --platform linux/arm64 ${asked} --bom bom.json`);
  t.is(code, 0, stderr);
  const [digest = ''] = stdout.split('\n');
  const { components, dependencies } = await read();
  t.deepEqual(dependencies, [], 'nothing is said of what is not known');
  t.is(components.length, 2);
  const app = named(components, `${registry.host}/team/app`);
  t.like(app, {
    ...{ type: 'container', version: '1', hashes: [{ alg: 'SHA-256', content: digest.slice('sha256:'.length) }] },
    purl: `pkg:oci/app@${encodeURIComponent(digest)}?arch=arm64&repository_url=${registry.host}/team/app&tag=1`,
  });
  t.deepEqual(valuesOf(app, 'reference'), [of('team/app:1'), of('team/app:2')]);
  const urls = app.externalReferences.map(({ url }) => url);
  t.deepEqual(urls.slice(0, 2), [of('team/app:1'), of('team/app:2')]);
  t.true(urls.slice(2).every((url) => url.startsWith(`http://${registry.host}/v2/team/app/manifests/`)));

  t.is((await run(`fetch --platform all ${of('team/app:1')} --bom all.json`)).code, 0);
  const [whole] = (await read('all.json')).components;
  t.notRegex(whole?.purl ?? '', /arch=/);
  t.is(whole && valuesOf(whole, 'platform').length, 2);
});

test('with SOURCE_DATE_EPOCH the same images give the same bytes, whatever came first and was there before', async (t) => {
  const { run, text, read } = await opened(t);
  const [registry, origin] = [await startRegistry(t), await startOrigin(t)];
  const layers = [await layerOf({ a: 'a' })];
  for (const tag of ['1', '2']) registry.putImage('team/app', tag, { layers });
  const { url } = await origin.publish({ name: 'example.com/a' });
  const images = [url, `docker://${registry.host}/team/app:1`, `docker://${registry.host}/team/app:2`];
  const fetch = async (order: readonly string[], path: string, more = { SOURCE_DATE_EPOCH: '1700000000' }) => {
    const { code, stderr } = await run(`fetch --platform linux/amd64 ${order.join(' ')} --bom ${path}`, more);
    t.is(code, 0, stderr);
    return text(path);
  };
  const first = await fetch(images, 'one.json');
  t.is(await fetch(images.toReversed(), 'two.json'), first);
  t.is((await read('one.json')).metadata.timestamp, '2023-11-14T22:13:20.000Z');
  const { serialNumber } = await read('one.json');
  t.regex(serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  await fetch(images.slice(0, 2), 'three.json');
  t.not((await read('three.json')).serialNumber, serialNumber);
  await fetch(images, 'four.json', { SOURCE_DATE_EPOCH: '' });
  t.not((await read('four.json')).serialNumber, serialNumber);
});

test('names from outside are encoded where they have a meaning, and escaped for a terminal', async (t) => {
  const { run, text, read } = await opened(t);
  const { bytes } = await buildAci({
    name: 'example.com/a',
    labels: { version: 'v@1?x=y#z&\u009b\u202e\u2028"' },
  });
  const path = '/a.aci?a=b';
  const server = await startServer(t, { [path]: { body: bytes }, '/{x}|^"%zz.aci': { body: bytes } });
  const { code, stderr } = await run(`fetch '${server.url}${path}' '${server.url}/{x}|^"%zz.aci' --bom bom.json`);
  t.is(code, 0, stderr);

  t.notRegex(await text(), /[\x7f-\x9f\u202e\u2028]/);
  const [component] = (await read()).components;
  t.true(
    component?.purl.startsWith('pkg:generic/example.com/a@v%401%3Fx%3Dy%23z%26%C2%9B%E2%80%AE%E2%80%A8%22?'),
    component?.purl,
  );
  t.notRegex(await text(), /a=b"/, 'the query of a URL may be a secret');
});

test('what failed is not in it, and it says that it is not complete', async (t) => {
  const { run, read, at } = await opened(t);
  await writeFile(at('a.aci'), (await buildAci({ name: 'example.com/a' })).bytes);
  const server = await startServer(t, {});
  t.is((await run(`fetch ./a.aci ${server.url}/missing.aci --bom bom.json`)).code, 4);
  const { components, metadata } = await read();
  t.deepEqual(
    components.map(({ name }) => name),
    ['example.com/a'],
  );
  t.deepEqual(metadata.properties, [{ name: 'longshore:complete', value: 'false' }]);
});

test('without dependencies, nothing is said of what an image needs', async (t) => {
  const { run, read } = await opened(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name: 'example.com/app', dependencies: [{ imageName: 'example.com/base' }] });
  t.is((await run(`fetch --no-deps ${url} --bom bom.json`)).code, 0);
  t.deepEqual((await read()).dependencies, []);
});

test('a fetch that is ended by SIGTERM leaves the bill of the part so far', async (t) => {
  const { start, read, at } = await opened(t, preload(withoutGrace));
  const server = await startServer(t, {
    '/a.aci': { body: (await buildAci({ name: 'example.com/a' })).bytes },
    '/slow.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 },
  });
  const { child, result } = start(`fetch ${server.url}/a.aci ${server.url}/slow.aci --bom bom.json --events events`);
  await until(async () => (await readFile(at('events'), 'utf8').catch(() => '')).includes('"status":"fetched"'));
  child.kill('SIGTERM');
  t.is((await result).code, 143);
  t.is((await read()).components.length, 1);
});

test('a file that cannot be written, or is used otherwise, is refused before anything is asked or fetched', async (t) => {
  const { run, at, directory } = await opened(t);
  const server = await startServer(t, { '/a.aci': { body: (await buildAci({ name: 'example.com/a' })).bytes } });
  await mkdir(at('directory'));
  await writeFile(at('list'), `${server.url}/a.aci\n`);
  const before = await readdir(directory);
  for (const [line, message, more] of [
    ['--bom -', /USAGE: --bom: want a file: it is written as a whole at the end/],
    ['--bom none/bom.json', /--bom: cannot write "none\/bom\.json": ENOENT/],
    ['--bom directory', /--bom: "directory" is a directory/],
    ['--bom same --report same', /USAGE: --bom: "same" is the file of --report too/],
    ['--bom list', /USAGE: --bom: "list" is a list of this run/],
    ['--bom store/bom.json', /USAGE: --bom: "store\/bom\.json" is in the store/],
    ['--bom bom.json', /USAGE: SOURCE_DATE_EPOCH: want seconds since 1970, got "soon"/, { SOURCE_DATE_EPOCH: 'soon' }],
    ['--bom bom.json', /USAGE: SOURCE_DATE_EPOCH: want/, { SOURCE_DATE_EPOCH: '9999999999999' }],
  ] as const) {
    const { code, stdout, stderr } = await run(`fetch -f list ${line}`, more);
    t.deepEqual([code, stdout], [2, ''], line);
    t.regex(stderr, message);
  }
  t.deepEqual(await readdir(directory), before);
  t.is(server.requests.length, 0);
});

test('a bill that can no longer be written is OUTPUT_FAILED, once the images are in the store', async (t) => {
  const { run, at } = await opened(t);
  await writeFile(at('a.aci'), (await buildAci({ name: 'example.com/a' })).bytes);
  const { code, stdout, stderr } = await run('fetch ./a.aci --bom /dev/full');
  t.is(code, 8);
  t.regex(stdout, /^sha512-/);
  t.regex(stderr, /^error: OUTPUT_FAILED: the bill of materials \/dev\/full could not be written: .* \(ENOSPC\)\. /m);
});
