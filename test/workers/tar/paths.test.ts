import test from 'ava';

import { createPathSet } from '../../../workers/tar/paths.ts';

test('paths are found whether they are kept or only hashed', (t) => {
  const paths = createPathSet(1000);
  const names = Array.from({ length: 200 }, (_, index) => `rootfs/some/where/${index}`);
  for (const name of names) paths.set(name, 'file');
  t.is(paths.size, 200);
  for (const name of names) t.is(paths.get(name), 'file');
  t.is(paths.get('rootfs/some/where/200'), undefined);
});

test('the type of a path can change without a second path', (t) => {
  for (const keptBytes of [0, 1000]) {
    const paths = createPathSet(keptBytes);
    paths.set('rootfs/a', 'implied');
    paths.set('rootfs/a', 'directory');
    t.is(paths.get('rootfs/a'), 'directory');
    t.is(paths.size, 1);
  }
});
