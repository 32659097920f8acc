import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { readSurface } from '../helpers/surface.ts';

const exec = promisify(execFile);
const entry = join(import.meta.dirname, '../../entry');

for (const name of ['index', 'transport']) {
  test(`the entry ${name} for Node passes on what it exports, each by its name`, async (t) => {
    const [, names = ''] = /export const \{([^}]*)\}/.exec(await readFile(join(entry, `${name}.js`), 'utf8')) ?? [];
    const values = readSurface(`src/${name}.ts`).filter(({ isType }) => !isType);
    t.deepEqual(
      names
        .split(',')
        .map((one) => one.trim())
        .filter(Boolean)
        .sort(),
      values.map((value) => value.name),
    );
  });

  test(`a version of Node that is too old for ${name} is told which one is needed, and not where the error was made`, async (t) => {
    for (const version of ['18.20.4', '22.21.0', '24.14.9']) {
      const script = `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require('./${name}.cjs')`;
      const { stderr } = await t.throwsAsync<Error & { stderr: string }>(
        exec(process.execPath, ['-e', script], { cwd: entry }),
      );
      t.true(stderr.includes(`longshore: needs Node 24.15 or later, this is ${version}`), stderr);
      t.notRegex(stderr, /SyntaxError| at .*\.js/);
    }
  });
}
