import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import type { TarItem } from '../../helpers/archive.ts';
import { convertLayers, layerOf, temporary } from './layers.ts';
import { describeTree, hasUmoci, unpackWithUmoci } from './umoci.ts';

const run = promisify(execFile);
const compare = hasUmoci && spawnSync('tar', ['--version']).status === 0 ? test : test.skip;

const directory = (name: string, mode = 0o755): TarItem => ({ name, type: 'directory', mode, mtime: new Date(1e12) });
const file = (name: string, content: string, mode = 0o644): TarItem => ({ name, content, mode, mtime: new Date(1e12) });
const link = (name: string, linkname: string): TarItem => ({ name, type: 'link', linkname });
const symlink = (name: string, linkname: string): TarItem => ({ name, type: 'symlink', linkname });
const whiteout = (name: string): TarItem => ({ name, content: '' });

const images: Readonly<Record<string, readonly (readonly TarItem[])[]>> = {
  'files, directories and links over each other': [
    [
      directory('./'),
      directory('bin/'),
      file('bin/busybox', 'program', 0o4755),
      link('bin/sh', 'bin/busybox'),
      link('bin/ls', 'bin/busybox'),
      directory('etc/', 0o750),
      file('etc/passwd', 'root:x:0:0\n', 0o600),
      symlink('etc/mtab', '/proc/mounts'),
      directory('var/'),
      directory('var/cache/', 0o1777),
      file('var/cache/old', 'old'),
      file('swap', 'a file'),
    ],
    [
      directory('etc/', 0o711),
      file('etc/passwd', 'root:x:0:0\napp:x:7:7\n'),
      whiteout('etc/.wh.mtab'),
      directory('var/cache/', 0o700),
      whiteout('var/cache/.wh..wh..opq'),
      file('var/cache/new', 'new'),
      whiteout('.wh.swap'),
      directory('swap/'),
      file('swap/in', 'a directory now'),
    ],
    [
      whiteout('bin/.wh.busybox'),
      link('bin/rm', 'bin/ls'),
      file('bin/sh', 'another program', 0o755),
      whiteout('.wh.swap'),
      symlink('swap', 'bin/sh'),
      directory(`deep/`),
      directory(`deep/${'n'.repeat(90)}/`),
      file(`deep/${'n'.repeat(90)}/${'m'.repeat(90)}`, 'long'),
    ],
  ],
  'whole trees go and come back': [
    [directory('a/'), directory('a/b/'), file('a/b/c', '1'), file('a/b/d', '2'), link('z', 'a/b/c')],
    [whiteout('.wh.a')],
    [directory('a/'), file('a/b', '3'), link('y', 'z')],
    [whiteout('a/.wh.b'), directory('a/b/', 0o555), file('a/b/e', '4', 0o444)],
  ],
};

for (const [what, contents] of Object.entries(images)) {
  compare(`an image unpacks as umoci unpacks its layers: ${what}`, async (t) => {
    await compareTrees(t, contents);
  });
}

type Spread = readonly [name: string, what: What];
type What =
  | { readonly kind: 'file' | 'link' | 'symlink' | 'whiteout'; readonly text: string }
  | {
      readonly kind: 'directory';
      readonly mode: number;
      readonly isOpaque: boolean;
      readonly children: readonly Spread[];
    };

const { children } = fc.letrec<{ what: What; children: readonly Spread[] }>((tie) => ({
  what: fc.oneof(
    { maxDepth: 3 },
    fc.record({
      kind: fc.constantFrom('file', 'link', 'symlink', 'whiteout'),
      text: fc.stringMatching(/^[a-z]{1,9}$/),
    }),
    fc.record({
      kind: fc.constant('directory'),
      mode: fc.constantFrom(0o755, 0o711, 0o1777),
      isOpaque: fc.boolean(),
      children: tie('children'),
    }),
  ),
  children: fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), tie('what')), {
    selector: ([name]) => name,
    maxLength: 4,
  }),
}));

/**
 * Whiteouts come before what lies beside them, and behind the directory they are in, as umoci goes by the order in the tar: one
 * whose directory is a link below would be looked for behind the link. A link without a file before it is a file.
 */
function spread(children: readonly Spread[], above: string, files: string[]): readonly TarItem[] {
  const isWhiteout = ([, { kind }]: Spread): number => Number(kind === 'whiteout');
  const sorted = children.toSorted((one, other) => isWhiteout(other) - isWhiteout(one));
  return sorted.flatMap(([name, what]): readonly TarItem[] => {
    const path = `${above}${name}`;
    const [first] = files;
    switch (what.kind) {
      case 'whiteout':
        return [whiteout(`${above}.wh.${name}`)];
      case 'symlink':
        return [symlink(path, what.text)];
      case 'directory':
        return [
          directory(`${path}/`, what.mode),
          ...(what.isOpaque ? [whiteout(`${path}/.wh..wh..opq`)] : []),
          ...spread(what.children, `${path}/`, files),
        ];
      case 'link':
      case 'file':
        if (what.kind === 'link' && first !== undefined) return [link(path, first)];
        files.push(path);
        return [file(path, what.text)];
    }
  });
}

compare('an image unpacks as umoci unpacks its layers: whatever they hold', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(children, { minLength: 2, maxLength: 4 }), async (layers) => {
      await compareTrees(
        t,
        layers.map((layer) => spread(layer, '', [])),
      );
    }),
    { numRuns: 8 },
  );
});

async function compareTrees(t: ExecutionContext, contents: readonly (readonly TarItem[])[]): Promise<void> {
  const layers = await Promise.all(contents.map(layerOf));
  const image = join(await temporary(t), 'image.tar');
  await writeFile(image, (await convertLayers(t, layers)).tar);
  const ours = await temporary(t);
  await run('tar', ['--extract', '--same-permissions', '--file', image, '--directory', ours]);
  t.deepEqual(describeTree(join(ours, 'rootfs')), describeTree(await unpackWithUmoci(t, layers)));
}
