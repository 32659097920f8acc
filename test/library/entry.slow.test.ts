import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { readSurface } from '../helpers/surface.ts';

const exec = promisify(execFile);
const entry = join(import.meta.dirname, '../../entry');

test('the entry for Node passes on what the library exports, each by its name', async (t) => {
  const [, names = ''] = /export const \{([^}]*)\}/.exec(await readFile(join(entry, 'index.js'), 'utf8')) ?? [];
  const values = readSurface('src/index.ts').filter(({ isType }) => !isType);
  t.deepEqual(
    names
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
      .sort(),
    values.map(({ name }) => name),
  );
});

test('a version of Node that is too old is told which one is needed, and not where the error was made', async (t) => {
  for (const version of ['18.20.4', '22.21.0', '24.14.9']) {
    const script = `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require('./index.cjs')`;
    const { stderr } = await t.throwsAsync<Error & { stderr: string }>(
      exec(process.execPath, ['-e', script], { cwd: entry }),
    );
    t.true(stderr.includes(`longshore: needs Node 24.15 or later, this is ${version}`), stderr);
    t.notRegex(stderr, /SyntaxError| at .*\.js/);
  }
});
