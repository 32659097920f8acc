import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../helpers/environment.ts';
import { startPushTarget } from '../helpers/push-target.ts';
import { startRegistry } from '../helpers/registry.ts';
import { runHere } from '../helpers/run-here.ts';
import { startServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

async function openCommand(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const registry = await startRegistry(t);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PLATFORM: 'linux/amd64',
  };
  return { directory, registry, longshore: (...args: readonly string[]) => runHere(args, environment) };
}

test('--names=registry takes names on the command line and in lists as images of registries, and keeps their texts', async (t) => {
  const { directory, registry, longshore } = await openCommand(t);
  const [one, two] = ['team/one', 'team/two'].map((name) => registry.putImage(name, '1', { layers: [name] }).digest);
  const list = join(directory, 'list.txt');
  await writeFile(list, `${registry.host}/team/two@${two}\n`);
  const asked = [`${registry.host}/team/one:1`, '-f', list, '--names=registry', '--output=json', '--progress=none'];

  const planned = await longshore('plan', ...asked.filter((text) => text !== '--progress=none'));
  t.is(planned.code, 0, planned.stderr);
  const fetched = await longshore('fetch', ...asked);
  t.is(fetched.code, 0, fetched.stderr);
  for (const { stdout } of [planned, fetched]) {
    const { images } = JSON.parse(stdout) as { images: readonly { reference: string }[] };
    t.deepEqual(
      images.map(({ reference }) => reference),
      [`${registry.host}/team/one:1`, `${registry.host}/team/two@${two}`],
    );
  }
  const { images } = JSON.parse(fetched.stdout) as { images: readonly { imageID: string }[] };
  t.deepEqual(
    images.map(({ imageID }) => imageID),
    [one, two],
  );

  const target = await startPushTarget(t);
  const pushed = await longshore(
    'push',
    `${registry.host}/team/one:1`,
    '--names=registry',
    '--to',
    `docker://${target.host}`,
  );
  t.is(pushed.stdout, `${target.host}/team/one@${one}\n`, pushed.stderr);
});

test('advice about such a name is that for images of registries', async (t) => {
  const { registry, longshore } = await openCommand(t);
  const { code, stderr } = await longshore(
    'fetch',
    `${registry.host}/nothing:1`,
    '--names=registry',
    '--progress=none',
  );
  t.is(code, 4);
  t.regex(stderr, /Check the name, the tag and the registry\.\n$/);
});

test('a name that discovery cannot find, or that is none, and that reads as an image of a registry is answered with that', async (t) => {
  const { longshore } = await openCommand(t);
  const nowhere = ['--discover', 'alpine=https://127.0.0.1:1', '--retries=0', '--progress=none', '--output=json'];
  const found = await longshore('fetch', 'alpine:3.20', ...nowhere);
  t.is(found.code, 4, found.stderr);
  t.regex(found.stderr, /Did you mean docker:\/\/alpine:3\.20, or --names=registry\? Otherwise check the name/);
  const { images } = JSON.parse(found.stdout) as { images: readonly { error: { details: { didYouMean: string } } }[] };
  t.is(images[0]?.error.details.didYouMean, 'docker://alpine:3.20');

  const labelled = await longshore('fetch', 'alpine,version=3.20', ...nowhere);
  t.notRegex(labelled.stderr, /Did you mean/);
  const denying = await startServer(t, { '/alpine': { status: 403 } });
  const denied = await longshore('fetch', 'alpine:3.20', '--discover', `alpine=${denying.url}`, '--progress=none');
  t.is(denied.code, 6, denied.stderr);
  t.regex(denied.stderr, /Did you mean docker:\/\/alpine:3\.20, or --names=registry\? Otherwise ask for it over https/);

  const noName = await longshore('fetch', 'localhost:5000/app:1');
  t.is(noName.code, 2);
  t.regex(noName.stderr, /Did you mean docker:\/\/localhost:5000\/app:1, or --names=registry\? Otherwise correct it/);
});

test('an archive of another tool is answered with the command that brings its images into the store', async (t) => {
  const { longshore } = await openCommand(t);
  const { code, stderr } = await longshore('fetch', 'docker-archive:app.tar');
  t.is(code, 2);
  t.regex(stderr, /longshore image import app\.tar/);
});
