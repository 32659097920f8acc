import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openShell } from '../helpers/shell.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** Each has a hundred modules or is large: together they would double what a command takes to start. */
const heavy = ['htmlparser2', 'openpgp', 'piscina', 'tar-stream', 'undici', 'yaml', 'yargs', 'zod'];

test('a command that only reads the store loads nothing large', async (t) => {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `import { registerHooks } from 'node:module';
    const loaded = new Set();
    registerHooks({
      load(url, context, next) {
        const found = next(url, context);
        loaded.add(/.*\\/node_modules\\/([^/]+)/.exec(url)?.[1]);
        // what a file was put together from is named in it
        for (const [, name] of String(found.source).matchAll(/^\\/\\/ node_modules\\/([^/]+)/gm)) loaded.add(name);
        return found;
      },
    });
    process.on('exit', () => console.error(${JSON.stringify(heavy)}.filter((name) => loaded.has(name)).join(' ')));`,
  );
  const { run } = await openShell(t, `--import '${hooks}'`);
  t.like(await run('longshore image list --help'), { code: 0, stderr: 'yargs\n' });
  t.like(await run('longshore image list --no-legend'), { code: 0, stdout: '', stderr: '\n' });
});

test('the version is printed before anything but a few small files is loaded', async (t) => {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `import { registerHooks } from 'node:module';
    let bytes = 0;
    registerHooks({
      load(url, context, next) {
        const found = next(url, context);
        bytes += found.source?.length ?? 0;
        return found;
      },
    });
    process.on('exit', () => console.error(bytes));`,
  );
  const { run } = await openShell(t, `--import '${hooks}'`);
  const { code, stderr } = await run('longshore --version');
  t.is(code, 0);
  t.true(Number(stderr) > 1000 && Number(stderr) < 40_000, stderr);
});
