import { mkdir, readdir, readFile, readlink, stat, lstat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { renderImage } from '../../src/images/render.ts';
import type { Store, StoredImage } from '../../src/store/store.ts';
import type { TarItem } from '../helpers/archive.ts';
import { putTar } from '../helpers/put-tar.ts';
import { sharedContext } from '../helpers/shared-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const never = new AbortController().signal;
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

const { store, pool } = await sharedContext();

async function render(t: ExecutionContext, image: StoredImage | undefined, rootfsOnly = true): Promise<string> {
  if (!image) throw new Error('no such image');
  const target = join(await temporaryDirectory(t), 'tree');
  const request = { image, target, overwrite: false, rootfsOnly, limits: defaultLimits, platform };
  await renderImage({ store, pool }, request, never);
  return target;
}

const vectors: readonly (readonly [title: string, images: string, tree: Readonly<Record<string, string>>])[] = [
  ['R1', 'a->[b,c]{fa,s} b{fb,s,t} c->[d]{fc,s,t} d{fd,t}', { fa: 'a', s: 'a', fc: 'c', t: 'c', fd: 'd', fb: 'b' }],
  ['R2', 'a->[b,c,d]{} b{s} c{s} d{s}', { s: 'd' }],
  ['R3', 'a[/x/keep]->[b]{own/,ownfile} b{x/,x/keep,x/drop,e/}', { 'own/': 'a', 'x/': 'nobody', 'x/keep': 'b' }],
  ['R4', 'a[/one,/two]->[b]{} b[/one]->[c]{} c{one,two,three}', { one: 'c', two: 'c' }],
  ['R5', 'a->[b]{p} b{p/,p/q,p/r/s}', { p: 'a' }],
  ['R6', 'a->[b]{p(/etc)} b{p/,p/q}', { p: '-> /etc' }],
  ['R7', 'a->[b]{p/,p/q} b{p}', { 'p/': 'a', 'p/q': 'a' }],
  ['R7, the directory only implied (appc 7.3.5)', 'a->[b]{p/q} b{p}', { 'p/': 'nobody', 'p/q': 'a' }],
  ['a file between that hides, and is replaced', 'a->[b]{p/x} b->[c]{p} c{p/,p/y}', { 'p/': 'nobody', 'p/x': 'a' }],
  ['R8', 'a->[b,c]{} b->[d]{fb} c->[d]{fc} d{fd}', { fb: 'b', fc: 'c', fd: 'd' }],
  ['R11', 'a->[b]{} b[/one]->[c]{b1,one} c{one,two}', { one: 'b' }],
  ['a list filters true ancestors only (appc 7.4.3)', 'a->[b,c]{} b{fb} c[/x]->[d]{x,y} d{x,z}', { fb: 'b', x: 'c' }],
  ['a shared image under two lists', 'a->[b,c]{} b[/x]->[d]{} c[/y]->[d]{} d{x,y,z}', { x: 'd', y: 'd' }],
  [
    'spellings of a path (appc 7.4.5)',
    'a[/x/,//y,z/../w,v]->[b]{} b{x/,y,w,v,u}',
    { 'x/': 'b', y: 'b', w: 'b', v: 'b' },
  ],
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
  ['a hard link whose file is not on the list (appc 7.4.4)', 'a[/l]->[b]{} b{f,l(=f)}', { l: 'b' }],
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

test('links whose file is left out are names of one file, those whose file is there are names of that', async (t) => {
  const put = await putAll(store, 'a[/l,/m,/n,/g,/h]->[b]{} b{f,l(=f),m(=f),n(=m),g,h(=g)}', 'links');
  const target = await render(t, put.get('a'));
  const inode = async (name: string) => (await lstat(join(target, name))).ino;
  t.is(await inode('m'), await inode('l'));
  t.is(await inode('n'), await inode('l'));
  t.is(await inode('h'), await inode('g'));
  t.not(await inode('g'), await inode('l'));
});

test('an upper symlink never leads a lower image out of the tree, nor to what it links', async (t) => {
  const outside = await temporaryDirectory(t);
  await mkdir(join(outside, 'd'));
  await writeFile(join(outside, 'x'), 'secret');
  const put = await putAll(store, `a->[b]{p(${outside})} b{p/,p/d/,p/d/new,p/x,l(=p/x)}`, 'outside');
  const target = await render(t, put.get('a'));
  t.deepEqual(await show(target), { p: `-> ${outside}`, l: 'b' });
  t.deepEqual(await readdir(outside, { recursive: true }), ['d', 'x']);
});

test('without --rootfs-only there is the manifest of the image, and of no other', async (t) => {
  const put = await putAll(store, 'a->[b]{x} b{y}', 'whole');
  const target = await render(t, put.get('a'), false);
  t.deepEqual((await readdir(target)).sort(), ['manifest', 'rootfs']);
  t.like(JSON.parse(await readFile(join(target, 'manifest'), 'utf8')), { name: 'example.com/whole/a' });
  t.deepEqual(await show(join(target, 'rootfs')), { x: 'a', y: 'b' });
});
