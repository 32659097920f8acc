import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { openShell, type Shell } from '../helpers/shell.ts';

/** A shell beside `base.aci`, `app.aci`, which depends on it, and `list`, which names both. */
async function withImages(
  t: ExecutionContext,
): Promise<Shell & { readonly ids: readonly [app: string, base: string] }> {
  const shell = await openShell(t);
  const base = await buildAci({ name: 'example.com/base', version: '1' });
  const app = await buildAci({ name: 'example.com/app', dependencies: [{ imageName: 'example.com/absent' }] });
  await writeFile(join(shell.directory, 'base.aci'), base.bytes);
  await writeFile(join(shell.directory, 'app.aci'), app.bytes);
  await writeFile(join(shell.directory, 'list'), '# both\n./base.aci\n./app.aci # with a comment\n');
  return { ...shell, ids: [app.imageId, base.imageId] };
}

const fetch = 'longshore fetch --insecure-options=image --progress=none';

test.serial('--no-deps is a separate option and not the opposite of --deps', async (t) => {
  const { run, ids } = await withImages(t);
  const { code, stdout } = await run(`${fetch} --no-deps --full ./app.aci`);
  t.deepEqual([code, stdout], [0, `${ids[0]}\n`]);
});

test.serial('options may be placed before the command, between images and after them', async (t) => {
  const { run, ids } = await withImages(t);
  const { code, stdout } = await run(`longshore --no-deps fetch ./app.aci --insecure-options IMAGE ./base.aci --full`);
  t.deepEqual([code, stdout], [0, `${ids[0]}\n${ids[1]}\n`]);
});

test.serial('-f takes one list, and the next argument is an image', async (t) => {
  const { run, ids } = await withImages(t);
  const { code, stdout } = await run(`${fetch} --no-deps -f list ./base.aci --full`);
  t.deepEqual([code, stdout], [0, `${ids[1]}\n${ids[1]}\n${ids[0]}\n`]);
});

test.serial('-f - reads the list from standard input', async (t) => {
  const { run, ids } = await withImages(t);
  const { code, stdout } = await run(`echo ./base.aci | ${fetch} -f -`);
  t.deepEqual([code, stdout], [0, `${ids[1].slice(0, 39)}\n`]);
});

test.serial('paths of a list are relative to the list', async (t) => {
  const { run, ids } = await withImages(t);
  const { code, stdout } = await run(`mkdir sub && cd sub && ${fetch} --no-deps -f ../list --full`);
  t.deepEqual([code, stdout], [0, `${ids[1]}\n${ids[0]}\n`]);
});

test.serial('the environment is read strictly, and unknown names give a warning', async (t) => {
  const { run, ids } = await withImages(t);
  const environment = { LONGSHORE_NO_DEPS: 'on', LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_JOBBS: '1' };
  const { code, stdout, stderr } = await run('longshore fetch --progress=none ./app.aci', environment);
  t.deepEqual([code, stdout], [0, `${ids[0].slice(0, 39)}\n`]);
  t.regex(stderr, /^warning: LONGSHORE_JOBBS is in the environment/);
});

test.serial('a flag takes precedence over the environment', async (t) => {
  const { run } = await withImages(t);
  const { code, stderr } = await run(`${fetch} --no-deps=false ./app.aci`, { LONGSHORE_NO_DEPS: '1' });
  t.is(code, 4);
  t.regex(stderr, /DEPENDENCY_FAILED/);
});
