import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { convertBlobs, convertLayers, layerOf, requestFor } from './layers.ts';
import { formatTree } from './listing.ts';

type Vector = readonly [what: string, layers: readonly string[], tree: string];

const vectors: readonly Vector[] = [
  ['layers add up', ['a=A d/', 'b=B'], 'a=A b=B d/'],
  ['the upper file wins', ['a=OLD', 'a=NEW'], 'a=NEW'],
  ['a whiteout hides a file', ['a=A k=K', '!a'], 'k=K'],
  [
    'the original of hard links goes, the next name takes its content',
    ['f1=yes f2->f1 f3->f1', '!f1'],
    'f2=yes f3->f2',
  ],
  ['one of three hard links goes', ['f1=yes f2->f1 f3->f1', '!f2'], 'f1=yes f3->f1'],
  ['all hard links go', ['f1=yes f2->f1 f3->f1', '!f1 !f2 !f3'], ''],
  ['hard links are made anew', ['f1=OLD f2->f1 f3->f1', 'f1=NEW f2->f1 f3->f1'], 'f1=NEW f2->f1 f3->f1'],
  ['one name of three gets other content', ['f1=OLD f2->f1 f3->f1', 'f2=NEW'], 'f1=OLD f2=NEW f3->f1'],
  ['a file over a directory', ['d/ d/o=O', 'd=file'], 'd=file'],
  ['a directory over a file', ['d=file', 'd/ d/n=N'], 'd/ d/n=N'],
  ['a file over a directory and a directory again', ['d/ d/o=O', 'd=file', 'd/ d/n=N'], 'd/ d/n=N'],
  ['a directory over a directory keeps what is in it', ['d/ d/o=O', 'd/ d/n=N'], 'd/ d/n=N d/o=O'],
  ['a directory is removed and made again', ['d/ d/o=O', '!d', 'd/ d/n=N'], 'd/ d/n=N'],
  ['the same in one layer, wherever the whiteout stands', ['d/ d/o=O', 'd/ d/n=N !d'], 'd/ d/n=N'],
  ['an opaque directory', ['d/x=X d/y=Y', 'd/ d/!! d/new=N'], 'd/ d/new=N'],
  ['an opaque mark behind what its layer adds', ['d/x=X', 'd/ d/new=N d/!!'], 'd/ d/new=N'],
  ['an opaque root', ['a=A d/x=X', '!! b=B'], 'b=B'],
  ['an opaque mark where nothing was', ['a=A', 'd/!!'], 'a=A'],
  ['a hard link into a lower layer', ['f1=low', 'f2->f1'], 'f1=low f2->f1'],
  ['a hard link into a lower layer whose name goes later', ['f1=low', 'f2->f1', '!f1'], 'f2=low'],
  ['a hard link into a lower layer that is written anew later', ['f1=low', 'f2->f1', 'f1=new'], 'f1=new f2=low'],
  ['a hard link to what its layer hides', ['f1=low', 'f2->f1 !f1'], 'f2=low'],
  ['a hard link before its target', ['', 'a->b b=B c->a'], 'a=B b->a c->a'],
  ['hard links to hard links, all before their target', ['a->b b->c c->d d=D'], 'a=D b->a c->a d->a'],
  ['a hard link to a symlink', ['a~>x b->a'], 'a~>x b->a'],
  ['a hard link to what the same layer replaces afterwards', ['a=1 b->a a=2'], 'a=2 b=1'],
  ['no layers', [], ''],
  ['an empty layer between others', ['a=A', '', 'b=B'], 'a=A b=B'],
  ['a name that only looks like a whiteout', ['a.wh.b=x'], 'a.wh.b=x'],
  ['a path twice: the last entry counts', ['a=x a=y d=f d/ d/e=E'], 'a=y d/ d/e=E'],
  ['the root in three spellings', ['./ /a=A', '/ ./b=B'], 'a=A b=B'],
  ['what aufs keeps', ['x=X', '.wh..wh.plnk/ .wh..wh.plnk/1.2=P .wh..wh.aufs'], 'x=X'],
  ['a hard link to what aufs keeps', ['.wh..wh.plnk/ .wh..wh.plnk/1.2=P a->.wh..wh.plnk/1.2 b->a'], 'a=P b->a'],
  ['a symlink over a directory', ['d/ d/o=O', 'd~>/e'], 'd~>/e'],
  ['a directory over a symlink', ['d~>/e', 'd/ d/n=N'], 'd/ d/n=N'],
  ['a whiteout of nothing that is there', ['a=A', '!b d/!c'], 'a=A'],
  ['a whiteout below a file of a lower layer that gives way', ['d=f', 'd/ d/e/ d/e/!! d/!x'], 'd/ d/e/'],
  [
    'an entry below a symlink of a lower layer',
    ['run/ var/ var/run~>/run', 'var/run/pid=1'],
    'run/ run/pid=1 var/ var/run~>/run',
  ],
  ['an entry below a symlink of its own layer', ['e/ s~>e s/x=X'], 'e/ e/x=X s~>e'],
  ['a symlink that replaces a directory after its entries', ['e/ s/x=X s~>e'], 'e/ s~>e'],
  ['a relative symlink', ['usr/bin/ b~>usr/bin', 'b/sh=S'], 'b~>usr/bin usr/ usr/bin/ usr/bin/sh=S'],
  ['a symlink to a symlink', ['c/ b~>c a~>b', 'a/x=X'], 'a~>b b~>c c/ c/x=X'],
  ['a symlink in the middle of a path', ['c/ a/b~>../c', 'a/b/d/x=X'], 'a/ a/b~>../c c/ c/d/ c/d/x=X'],
  ['a symlink that leads above the root', ['a~>../../c c/', 'a/x=X'], 'a~>../../c c/ c/x=X'],
  ['a symlink to the root', ['a~>/', 'a/x=X'], 'a~>/ x=X'],
  ['a symlink to nowhere: what it names is made', ['a~>/b/c', 'a/x=X'], 'a~>/b/c b/ b/c/ b/c/x=X'],
  ['upwards through what is not there', ['a~>n/../c', 'a/x=X'], 'a~>n/../c c/ c/x=X'],
  ['a symlink that an upper layer makes a directory', ['e/ e/o=O s~>e', 's/ s/x=X'], 'e/ e/o=O s/ s/x=X'],
  ['an entry below a symlink that becomes a directory behind it', ['e/ s~>e', 's/x=X s/ s/y=Y'], 'e/ e/x=X s/ s/y=Y'],
  ['an entry below a hard link to a symlink', ['e/ s~>/e h->s h/x=X'], 'e/ e/x=X h~>/e s->h'],
  ['a directory below a symlink keeps what is in it', ['e/d/o=O s~>e', 's/d/ s/d/x=X'], 'e/ e/d/ e/d/o=O e/d/x=X s~>e'],
  [
    'a whiteout below a symlink of a lower layer',
    ['run/ run/old=O var/run~>../run', 'var/run/!old'],
    'run/ var/ var/run~>../run',
  ],
  ['a whiteout of a symlink', ['e/x=X s~>e', '!s'], 'e/ e/x=X'],
  ['a whiteout below a symlink to nowhere', ['s~>e', 's/!x'], 's~>e'],
  ['an opaque mark below a symlink', ['e/x=X s~>e', 's/y=Y s/!!'], 'e/ e/y=Y s~>e'],
  ['a whiteout of what its layer has under another name', ['e/ s~>e', 's/x=X e/!x'], 'e/ e/x=X s~>e'],
  [
    'a hard link whose target is below a symlink',
    ['usr/bin/sh=S bin~>usr/bin', 'x->bin/sh'],
    'bin~>usr/bin usr/ usr/bin/ usr/bin/sh=S x->usr/bin/sh',
  ],
  ['a hard link before its target, below a symlink', ['b/ a~>b', 'x->a/y a/y=Y'], 'a~>b b/ b/y=Y x->b/y'],
  ['a hard link below a symlink', ['f=F b/ a~>b', 'a/x->f'], 'a~>b b/ b/x=F f->b/x'],
  ['a hard link to what its layer has hidden', ['f1=low d/o=O', '!f1 f2->f1 d/!! e->d/o'], 'd/ e=O f2=low'],
  ['a hard link to what its layer has replaced', ['d/o=O', 'd=f e->d/o'], 'd=f e=O'],
  ['a whiteout keeps what its layer has below', ['d/ d/o=O d/e/p=P', 'd/e/n=N !d'], 'd/ d/e/ d/e/n=N'],
  ['a whiteout before its directory is filled', ['d/ d/o=O', '!d d/n=N'], 'd/ d/n=N'],
  [
    'parts of a path that say nothing',
    ['a/ .//b=B a//c=C a/./d=D ././e=E //f=F /./g/./h=H a/.//k/./'],
    'a/ a/c=C a/d=D a/k/ b=B e=E f=F g/ g/h=H',
  ],
  ['the same in the targets of hard links', ['a/b=B c->.//a/./b d->/a//b'], 'a/ a/b=B c->a/b d->a/b'],
  ['directories that only show in paths', ['a/b/c=C', '!a a/n=N'], 'a/ a/n=N'],
  ['a file in one layer takes the place of a directory with all in it', ['a/c/d=D a=x a/ a/b=B'], 'a/ a/b=B'],
  ['directories before what is in them, by name', ['b=B a-b=1 a/c/d=D a/ a/b=B'], 'a/ a/b=B a/c/ a/c/d=D a-b=1 b=B'],
];

for (const [what, texts, tree] of vectors) {
  test(`layers result in one tree: ${what}`, async (t) => {
    const layers = await Promise.all(texts.map(layerOf));
    t.is(formatTree((await convertLayers(t, layers)).tar), tree);
  });
}

const refused: readonly Vector[] = [
  ['a path that climbs', ['../a=x'], 'R8'],
  ['a path that climbs from within', ['a/../../b=x'], 'R8'],
  ['a path that ends in ..', ['a/..=x'], 'R8'],
  ['an absolute path that climbs', ['/../a=x'], 'R8'],
  ['a hard link to nowhere', ['a=x', 'b->c'], 'R8'],
  ['a hard link that climbs', ['b->../c'], 'R8'],
  ['a hard link to a directory', ['d/', 'b->d'], 'R8'],
  ['a hard link to a directory of its own layer', ['d/ b->d'], 'R8'],
  ['a hard link to the root', ['b->/'], 'R8'],
  ['a hard link to itself', ['a->a'], 'R8'],
  ['hard links in a circle', ['a->b b->c c->a'], 'R8'],
  ['/dev as a symlink', ['dev~>/tmp'], 'R8'],
  ['/dev as a file', ['dev/', './dev=x'], 'R8'],
  ['/dev as a hard link', ['a=x dev->a'], 'R8'],
  ['a root that is a symlink', ['./~>/tmp'], 'R8'],
  ['a whiteout of no name', ['.wh.=x'], 'R8'],
  ['a whiteout of the directory itself', ['d/ d/.wh..=x'], 'R8'],
  ['a whiteout of the directory above', ['d/ d/.wh...=x'], 'R8'],
  ['an entry below a whiteout', ['.wh.d/ .wh.d/x=X'], 'R8'],
  ['an entry below a file of a lower layer', ['s=S', 's/x=X'], 'R8'],
  ['an entry below a symlink to a file', ['s~>f f=F', 's/x=X'], 'R8'],
  ['an entry below symlinks in a circle', ['s~>t t~>s', 's/x=X'], 'R8'],
  ['an entry below a symlink to itself', ['s~>s/s', 's/x=X'], 'R8'],
  ['a whiteout below symlinks in a circle', ['s~>t t~>s', 's/!x'], 'R8'],
  ['/dev below a symlink', ['dev/ s~>.', 's/dev=x'], 'R8'],
  ['a hard link below symlinks to nowhere', ['s~>t', 'a->s/x'], 'R8'],
];

for (const [what, texts, rule] of refused) {
  test(`misleading layers are refused: ${what}`, async (t) => {
    const layers = await Promise.all(texts.map(layerOf));
    const request = await requestFor(t, layers);
    const error = await t.throwsAsync(convertBlobs(request));
    if (!hasCode(error, 'ARCHIVE_INVALID')) return t.fail(String(error));
    t.is(error.details.rule, rule);
    t.regex(error.message, new RegExp(`^layer ${request.blobs.at(-1)?.digest}: `));
  });
}

test('paths through many links, and repeated whiteouts of one directory, are bounded by a limit', async (t) => {
  const parts = 'a/../'.repeat(700);
  const links = Array.from({ length: 200 }, (_, index) => `l${index}~>${parts}l${index + 1}`).join(' ');
  const through = Array.from({ length: 2000 }, (_, index) => `l0/d${index}/x=X`).join(' ');
  const request = await requestFor(t, [await layerOf(`l200/ ${links} ${through}`)]);
  const error = await t.throwsAsync(convertBlobs(request));
  if (!hasCode(error, 'LIMIT_EXCEEDED')) return t.fail(String(error));
  t.is(error.details.limit, 'links');

  const lower = Array.from({ length: 10_000 }, (_, index) => `d/o${index}`).join(' ');
  const upper = Array.from({ length: 10_000 }, (_, index) => `d/n${index} !d d/!!`).join(' ');
  const { tar } = await convertLayers(t, await Promise.all([lower, upper].map(layerOf)));
  t.is(formatTree(tar).split(' ').length, 10_001);
});
