import { execFile } from 'node:child_process';
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { extractImage, type ExtractRequest, renderImage } from '../../src/images/extract.ts';
import type { Store, StoredImage } from '../../src/store/store.ts';
import type { TarItem } from '../helpers/archive.ts';
import { damageFile } from '../helpers/damage.ts';
import { describeTree } from '../helpers/describe-tree.ts';
import { putTar } from '../helpers/put-tar.ts';
import { sharedContext } from '../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';
import { forgeArchive, forgeEntry, forgePax } from '../helpers/tar-forge.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const { store, pool } = await sharedContext();
const isRoot = process.geteuid?.() === 0;

function extract(request: Partial<ExtractRequest> & Pick<ExtractRequest, 'image' | 'target'>) {
  const defaults = { overwrite: false, rootfsOnly: false, limits: defaultLimits };
  return extractImage({ store, pool }, { ...defaults, ...request }, never);
}

/** Something of every kind that a filesystem of this machine holds. */
const makeRootfs = `
  umask 022; mkdir -p rootfs/usr/bin rootfs/tmp rootfs/closed rootfs/empty; cd rootfs
  head -c 3000000 /dev/urandom > usr/bin/large; : > empty-file; printf x > usr/bin/tool; printf y > closed/in
  ln -s tool usr/bin/sh; ln -s /nowhere/at/all dangling; ln usr/bin/tool usr/tool-too; ln dangling dangling-too
  mkfifo pipe; chmod 0751 usr/bin/tool; chmod 1777 tmp; mkdir -p "$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 120))"
  printf z > "$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 120))/$(printf 'f%.0s' $(seq 200))"
  printf z > "$(printf 'bytes\\377\\201')"; printf z > 'white space
and a line'
  if [ "$(id -u)" = 0 ]; then
    mknod null c 1 3; mknod disk b 7 200; ln null null-too; chmod 0660 disk
    chown 123:456 usr/bin/tool dangling empty null; chmod 4755 usr/bin/large; chmod 2775 empty
  fi
  find . -exec touch -h -d '2020-05-05 05:05:05.125' {} +
  touch -h -d '2001-02-03 04:05:06.25' usr/bin/tool dangling; touch -d '1960-01-01 00:00:00.5' empty-file
  chmod 0555 closed; touch -d '2010-01-01' closed empty usr; cd ..; printf '{}' > manifest; chmod 0640 manifest; touch -d '2020-05-05' manifest`;

for (const [format, compareTimes] of [
  ['pax', true],
  ['gnu', false], // whole seconds
] as const) {
  test(`a tree is the same as GNU tar makes from the archive: ${format}`, async (t) => {
    const dir = await temporaryDirectory(t);
    await run('sh', ['-c', makeRootfs], { cwd: dir });
    await run('tar', [`--format=${format}`, '-cf', '../image.tar', 'manifest', 'rootfs'], { cwd: await inside(dir) });
    const tar = await readFile(join(dir, 'image.tar'));
    const image = await putTar(store, { name: 'example.com/app', tar });

    await mkdir(join(dir, 'theirs'));
    await run('tar', ['-xpf', join(dir, 'image.tar'), '-C', join(dir, 'theirs')]);
    const { skipped } = await extract({ image, target: join(dir, 'ours') });
    t.is(skipped.count, 0);
    const [ours, theirs] = await Promise.all([describeTree(join(dir, 'ours')), describeTree(join(dir, 'theirs'))]);
    t.deepEqual(ours, theirs);
    t.is(
      ours.some((line) => line.includes('.250000')),
      compareTimes,
    );
    t.is((await stat(join(dir, 'ours'))).mode & 0o7777, 0o755);

    await extract({ image, target: join(dir, 'files'), rootfsOnly: true });
    t.deepEqual(await describeTree(join(dir, 'files')), await describeTree(join(dir, 'theirs', 'rootfs')));
    const [mine, other] = await Promise.all([stat(join(dir, 'files')), stat(join(dir, 'theirs', 'rootfs'))]);
    t.deepEqual([mine.mode, mine.uid, mine.mtimeMs], [other.mode, other.uid, other.mtimeMs]);
    await run('chmod', ['-R', 'u+w', dir]); // so that the teardown can remove it
  });
}

/** Moves what was made into a directory of its own, so that the archive is not part of itself. */
async function inside(dir: string): Promise<string> {
  const from = join(dir, 'from');
  await run('sh', ['-c', 'mkdir from && mv manifest rootfs from'], { cwd: dir });
  return from;
}

test('an image is extracted alone and completely, whatever its dependencies and its whitelist', async (t) => {
  const image = await putTar(store, {
    name: 'example.com/app',
    dependencies: [{ imageName: 'example.com/none' }],
    manifest: { pathWhitelist: ['/x'] },
    tar: [{ name: 'rootfs', type: 'directory' }, { name: 'rootfs/x' }, { name: 'rootfs/y' }],
  });
  const target = join(await temporaryDirectory(t), 'app');
  await extract({ image, target, rootfsOnly: true });
  t.deepEqual((await readdir(target)).sort(), ['x', 'y']);
});

test('attributes out of range are set as far as possible', async (t) => {
  const tar = forgeArchive(
    forgePax({ mtime: '5.5' }, { type: 'g' }),
    forgeEntry({ name: 'rootfs/global' }),
    forgePax({ mtime: '-1.5', uid: '99999999999', gid: '-7' }),
    forgeEntry({ name: 'rootfs/past' }),
    forgePax({ mtime: '9'.repeat(400) }),
    forgeEntry({ name: 'rootfs/far', mode: 0o777777 }),
    forgeEntry({ name: 'rootfs/deep/er/file' }),
  );
  const target = join(await temporaryDirectory(t), 'app');
  const image = await putTar(store, { name: 'example.com/app', tar });
  await extract({ image, target, rootfsOnly: true });
  const at = (name: string) => lstat(join(target, name));
  t.is((await at('global')).mtimeMs, 5500);
  t.is((await at('past')).mtimeMs, -1500);
  t.is((await at('past')).uid, (await at('global')).uid);
  t.is((await at('far')).mode & 0o7777, isRoot ? 0o7777 : 0o1777);
  t.is((await at('deep/er')).mode & 0o7777, 0o755);
});

test('an existing directory is replaced only with overwrite, an empty one always, anything else never', async (t) => {
  const image = await putImage(store, { name: 'example.com/app', files: { x: '1' } });
  const dir = await temporaryDirectory(t);
  const [empty, full, closed] = [join(dir, 'empty'), join(dir, 'full'), join(dir, 'full', 'closed')];
  await mkdir(empty);
  await mkdir(closed, { recursive: true });
  await writeFile(join(closed, 'mine'), '');
  await chmod(closed, 0o555);
  await symlink(full, join(dir, 'link'));
  await writeFile(join(dir, 'file'), '');

  await extract({ image, target: empty });
  t.deepEqual(await readdir(empty), ['manifest', 'rootfs']);
  await t.throwsAsync(extract({ image, target: full }), { code: 'USAGE', message: /replaced only with overwrite/ });
  for (const name of ['file', 'link']) {
    const request = { image, target: join(dir, name), overwrite: true };
    await t.throwsAsync(extract(request), { code: 'USAGE', message: /not a directory/ }, name);
  }
  t.deepEqual(await readdir(full), ['closed']);
  await extract({ image, target: full, overwrite: true });
  t.deepEqual(await readdir(full), ['manifest', 'rootfs']);
  t.deepEqual((await readdir(dir)).sort(), ['empty', 'file', 'full', 'link']);
});

test('the root of the filesystem, the store and directories that contain it are refused as targets', async (t) => {
  const image = await putImage(store, { name: 'example.com/app' });
  const dir = await temporaryDirectory(t);
  await symlink('/', join(dir, 'slash'));
  await symlink(store.dir, join(dir, 'store'));
  for (const [target, message] of [
    ['/', /root of the filesystem/],
    [join(dir, '..', '..', '..'), /root of the filesystem/],
    [store.dir, /in the store/],
    [join(store.dir, 'blobs', 'new'), /in the store/],
    [join(dir, 'store', 'blobs', 'new'), /in the store/],
    [join(dir, 'slash', store.dir, '..'), /holds the store/],
    [join(dir, 'slash'), /not a directory/],
  ] as const) {
    await t.throwsAsync(extract({ image, target, overwrite: true }), { code: 'USAGE', message }, target);
  }
  t.is(await store.blobState(image.imageId), 'intact');
});

test('a damaged blob leaves the target unchanged, and nothing next to it', async (t) => {
  const dir = await temporaryDirectory(t);
  await mkdir(join(dir, 'app'));
  await writeFile(join(dir, 'app', 'mine'), '');
  const damages: readonly (readonly [message: RegExp, work: (blob: string) => Promise<unknown>])[] = [
    [/wrong hash/, (blob) => damageFile(blob, 'flip', 2000)], // in content
    [/wrong hash/, (blob) => damageFile(blob, 'flip', 3)], // in a name: no manifest any more
    [/wrong size/, (blob) => damageFile(blob, 'cut')],
    [/wrong size/, (blob) => chmod(blob, 0o644).then(() => appendFile(blob, Buffer.alloc(512)))],
    [/missing/, (blob) => damageFile(blob, 'unlink')],
  ];
  for (const [index, [message, damage]] of damages.entries()) {
    const image = await putImage(store, { name: `example.com/app${index}`, size: 10_000 });
    await damage(store.blobPath(image.imageId));
    const extracting = extract({ image, target: join(dir, 'app'), overwrite: true });
    await t.throwsAsync(extracting, { code: 'STORE_CORRUPT', message }, String(index));
  }
  t.deepEqual(await readdir(dir, { recursive: true }), ['app', 'app/mine']);
});

test('errors of writing a tree are reported by their cause', async (t) => {
  const image = await putTar(store, {
    name: 'example.com/long',
    tar: [{ name: 'rootfs', type: 'directory' }, { name: `rootfs/${'x'.repeat(256)}` }],
  });
  const dir = await temporaryDirectory(t);
  const target = join(dir, 'app');
  await t.throwsAsync(extract({ image, target: join(dir, 'none', 'app') }), { code: 'FILE_NOT_FOUND' });
  await t.throwsAsync(extract({ image, target }), {
    code: 'FILE_UNREADABLE',
    message: /app\/rootfs\/x+….*ENAMETOOLONG/,
  });
  const limits = { ...defaultLimits, entries: 1 };
  await t.throwsAsync(extract({ image, target, limits }), { code: 'LIMIT_EXCEEDED' });
  t.deepEqual(await readdir(dir), []);
});

test('an abort ends an extraction, and nothing is left', async (t) => {
  const fifos = Array.from({ length: 20 }, (_, index) => ({ name: `rootfs/${index}`, type: 'fifo' as const }));
  const large = { name: 'rootfs/large', content: Buffer.alloc(3_000_000) };
  const tar = [{ name: 'rootfs', type: 'directory' as const }, ...fifos, large]; // a process for each fifo takes its time
  const image = await putTar(store, { name: 'example.com/app', tar });
  const dir = await temporaryDirectory(t);
  const controller = new AbortController();
  const request = { image, target: join(dir, 'app'), overwrite: false, rootfsOnly: true, limits: defaultLimits };
  const extracting = extractImage({ store, pool }, request, controller.signal);
  await untilBegun(t, dir);
  controller.abort(new Error('enough'));
  await t.throwsAsync(extracting, { message: 'enough' });
  t.deepEqual(await readdir(dir), []);
});

async function untilBegun(t: ExecutionContext, dir: string): Promise<void> {
  for (let tries = 0; tries < 2_000; tries++) {
    if ((await readdir(dir, { recursive: true })).some((path) => path.endsWith('/0'))) return;
    await setTimeout(1);
  }
  t.fail('it did not begin');
}

const platform = { platform: 'linux', arch: 'x64' };
const letters = ['a', 'b', 'c', 'd'];

/** `a[whitelist]->[dependencies]{entries}`; an entry is `dir/`, `file`, `link(target)` or `hard(=target)`. */
const notation = /([a-d])(?:\[([^\]]*)\])?(?:->\[([^\]]*)\])?\{([^}]*)\}/g;

/** What each entry shows is whose it is: files and symlinks by content, directories by mode. */
async function putAll(store: Store, text: string, prefix: string): Promise<ReadonlyMap<string, StoredImage>> {
  const images = new Map<string, StoredImage>();
  for (const [, letter = '', whitelist, needs, entries = ''] of text.matchAll(notation)) {
    const mode = modeOf(letter);
    const items = split(entries).map((entry): TarItem => {
      const [, path = '', hard, target] = /^([^(]+)(?:\((=?)(.*)\))?$/.exec(entry) ?? [];
      const name = `rootfs/${path}`;
      if (hard === '=') return { name, type: 'link', linkname: `rootfs/${target}` };
      if (target !== undefined) return { name, type: 'symlink', linkname: target };
      return path.endsWith('/') ? { name, type: 'directory', mode } : { name, content: letter };
    });
    const image = await putTar(store, {
      name: `example.com/${prefix}/${letter}`,
      ...(needs && { dependencies: split(needs).map((need) => ({ imageName: `example.com/${prefix}/${need}` })) }),
      ...(whitelist && { manifest: { pathWhitelist: split(whitelist) } }),
      tar: [{ name: 'rootfs/', type: 'directory', mode }, ...items],
    });
    images.set(letter, image);
  }
  return images;
}

const split = (text: string): string[] => text.split(',').filter((part) => part !== '');
const modeOf = (letter: string): number => 0o701 + letters.indexOf(letter);

async function show(directory: string): Promise<Record<string, string>> {
  const shown: Record<string, string> = {};
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(directory.length + 1);
    if (entry.isDirectory()) shown[`${name}/`] = letters[((await stat(path)).mode & 0o7777) - 0o701] ?? 'nobody';
    else shown[name] = entry.isSymbolicLink() ? `-> ${await readlink(path)}` : await readFile(path, 'utf8');
  }
  return shown;
}

async function render(t: ExecutionContext, image: StoredImage | undefined, rootfsOnly = true): Promise<string> {
  if (!image) throw new Error('no such image');
  const target = join(await temporaryDirectory(t), 'tree');
  const request = { image, target, overwrite: false, rootfsOnly, limits: defaultLimits, platform };
  await renderImage({ store, pool }, request, never);
  return target;
}

const vectors: readonly (readonly [title: string, images: string, tree: Readonly<Record<string, string>>])[] = [
  [
    'files of a tree of four images',
    'a->[b,c]{fa,s} b{fb,s,t} c->[d]{fc,s,t} d{fd,t}',
    { fa: 'a', s: 'a', fc: 'c', t: 'c', fd: 'd', fb: 'b' },
  ],
  ['of several dependencies the last one provides a file', 'a->[b,c,d]{} b{s} c{s} d{s}', { s: 'd' }],
  [
    'a list removes no directories of its own image',
    'a[/x/keep]->[b]{own/,ownfile} b{x/,x/keep,x/drop,e/}',
    { 'own/': 'a', 'x/': 'nobody', 'x/keep': 'b' },
  ],
  [
    'an upper list applies to all images below',
    'a[/one,/two]->[b]{} b[/one]->[c]{} c{one,two,three}',
    { one: 'c', two: 'c' },
  ],
  ['an upper file hides a lower directory', 'a->[b]{p} b{p/,p/q,p/r/s}', { p: 'a' }],
  ['an upper symlink hides a lower directory', 'a->[b]{p(/etc)} b{p/,p/q}', { p: '-> /etc' }],
  ['an upper directory hides a lower file', 'a->[b]{p/,p/q} b{p}', { 'p/': 'a', 'p/q': 'a' }],
  ['an upper directory without an entry hides a lower file', 'a->[b]{p/q} b{p}', { 'p/': 'nobody', 'p/q': 'a' }],
  ['a file between that hides, and is replaced', 'a->[b]{p/x} b->[c]{p} c{p/,p/y}', { 'p/': 'nobody', 'p/x': 'a' }],
  ['a shared dependency', 'a->[b,c]{} b->[d]{fb} c->[d]{fc} d{fd}', { fb: 'b', fc: 'c', fd: 'd' }],
  ['a list applies to its own image and those below', 'a->[b]{} b[/one]->[c]{b1,one} c{one,two}', { one: 'b' }],
  ['a list filters true ancestors only', 'a->[b,c]{} b{fb} c[/x]->[d]{x,y} d{x,z}', { fb: 'b', x: 'c' }],
  ['a shared image under two lists', 'a->[b,c]{} b[/x]->[d]{} c[/y]->[d]{} d{x,y,z}', { x: 'd', y: 'd' }],
  ['spellings of a path', 'a[/x/,//y,z/../w,v]->[b]{} b{x/,y,w,v,u}', { 'x/': 'b', y: 'b', w: 'b', v: 'b' }],
  ['a list of nothing', 'a[/]->[b]{f,d/} b{g,e/}', { 'd/': 'a' }],
  ['a directory only in the dependency', 'a->[b]{} b{d/}', { 'd/': 'b' }],
  ['a directory only in the image', 'a->[b]{d/} b{}', { 'd/': 'a' }],
  ['the mode of the upper directory', 'a->[b]{d/} b{d/}', { 'd/': 'a' }],
  [
    'the mode of a lower directory that is implied above',
    'a->[b]{d/x} b{d/,d/y}',
    { 'd/': 'b', 'd/x': 'a', 'd/y': 'b' },
  ],
  ['a file in either and in both', 'a->[b]{x,z} b{y,z}', { x: 'a', y: 'b', z: 'a' }],
  [
    'a list of the dependency',
    'a->[b]{d/new} b[/f,/s,/d]{f,g,s(to),t(to),d/,d/x,e/}',
    { f: 'b', s: '-> to', 'd/': 'b', 'd/new': 'a', 'e/': 'b' },
  ],
  ['a list of the upper image', 'a[/d,/f,/n]->[b]{n} b{f,g,d/,d/x,e/,e/y}', { n: 'a', f: 'b', 'd/': 'b' }],
  ['a list of the first dependency', 'a->[b,c]{} b[/fb]{fb,gb} c{fc,gc}', { fb: 'b', fc: 'c', gc: 'c' }],
  ['a list of the second dependency', 'a->[b,c]{} b{fb,gb} c[/fc]{fc,gc}', { fb: 'b', gb: 'b', fc: 'c' }],
  ['an empty rootfs', 'a{}', {}],
  ['an empty rootfs with a list', 'a[/x]{}', {}],
  ['a hard link whose file is not on the list', 'a[/l]->[b]{} b{f,l(=f)}', { l: 'b' }],
  ['a hard link whose file is hidden', 'a->[b]{f} b{f,l(=f)}', { f: 'a', l: 'b' }],
  ['a hard link to a symlink that is left out', 'a[/l]->[b]{} b{s(to),l(=s)}', { l: '-> to' }],
  ['a hard link in a directory that comes later', 'a[/d,/d/l]->[b]{} b{f,d/l(=f),d/}', { 'd/': 'b', 'd/l': 'b' }],
];

for (const [title, images, tree] of vectors) {
  test(`rendered by the rules: ${title}: ${images}`, async (t) => {
    const put = await putAll(store, images, `v${vectors.findIndex((vector) => vector[0] === title)}`);
    const target = await render(t, put.get('a'));
    t.deepEqual(await show(target), tree);
    t.is((await stat(target)).mode & 0o7777, modeOf('a'));
  });
}

test('links whose file is left out share one file; other links are names of their file', async (t) => {
  const put = await putAll(store, 'a[/l,/m,/n,/g,/h]->[b]{} b{f,l(=f),m(=f),n(=m),g,h(=g)}', 'links');
  const target = await render(t, put.get('a'));
  const inode = async (name: string) => (await lstat(join(target, name))).ino;
  t.is(await inode('m'), await inode('l'));
  t.is(await inode('n'), await inode('l'));
  t.is(await inode('h'), await inode('g'));
  t.not(await inode('g'), await inode('l'));
});

test("a symlink of an upper image never leads a lower image out of the tree, or to the link's target", async (t) => {
  const outside = await temporaryDirectory(t);
  await mkdir(join(outside, 'd'));
  await writeFile(join(outside, 'x'), 'secret');
  const put = await putAll(store, `a->[b]{p(${outside})} b{p/,p/d/,p/d/new,p/x,l(=p/x)}`, 'outside');
  const target = await render(t, put.get('a'));
  t.deepEqual(await show(target), { p: `-> ${outside}`, l: 'b' });
  t.deepEqual(await readdir(outside, { recursive: true }), ['d', 'x']);
});

test('without --rootfs-only the manifest of the image is written, and no other', async (t) => {
  const put = await putAll(store, 'a->[b]{x} b{y}', 'whole');
  const target = await render(t, put.get('a'), false);
  t.deepEqual((await readdir(target)).sort(), ['manifest', 'rootfs']);
  t.like(JSON.parse(await readFile(join(target, 'manifest'), 'utf8')), { name: 'example.com/whole/a' });
  t.deepEqual(await show(join(target, 'rootfs')), { x: 'a', y: 'b' });
});
