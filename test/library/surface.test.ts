import test from 'ava';

import { readSurface } from '../helpers/surface.ts';

const surface = readSurface('src/index.ts');

test('the package exports these values, and no others', (t) => {
  t.deepEqual(
    surface.filter(({ isType }) => !isType).map(({ name }) => name),
    [
      'ImageError',
      'createApps',
      'createFetcher',
      'createFinder',
      'hasCode',
      'isImageError',
      'openKeystore',
      'openPool',
      'openStore',
    ],
  );
});

test('every type that an export names is exported', (t) => {
  const missing = surface.flatMap(({ name, uses }) =>
    uses.filter((used) => used.endsWith('(not exported)')).map((used) => `${name}: ${used}`),
  );
  t.deepEqual(missing, []);
});
