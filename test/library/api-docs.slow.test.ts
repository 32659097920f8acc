import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { apiPath, examples, renderApi } from '../helpers/api-docs.ts';
import { readSurface } from '../helpers/surface.ts';

test('docs/api.md is what the docstrings and the programs make', async (t) => {
  t.is(await readFile(apiPath, 'utf8'), await renderApi(), 'npm run docs writes it');
});

test('docs/api.md has a section for each export, and each program', async (t) => {
  const page = await readFile(apiPath, 'utf8');
  const names = readSurface('src/index.ts').map(({ name }) => name);
  const missing = names.filter((name) => !page.includes(`\n### ${name}\n`));
  t.deepEqual(missing, ['FetchSettings'], 'whose members are all in ActionOptions');

  const programs = await readdir(join(apiPath, '../examples'));
  t.deepEqual(programs, examples.map((name) => `${name}.mjs`).sort());
});
