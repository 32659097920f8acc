import { execFile, spawnSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { layoutOfImages, makeImage, tarOf } from '../helpers/carried.ts';
import { openImporting } from '../helpers/importing.ts';
import { digestOf } from '../helpers/registry-image.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const execute = promisify(execFile);
const withPodman = spawnSync('podman', ['--version']).error ? test.skip : test;

const one = await makeImage('one');
const two = await makeImage('two');

withPodman(
  'what podman saves is read: one image or many, as docker and as OCI, with its configuration as it was',
  async (t) => {
    const directory = await temporaryDirectory(t);
    const at = (name: string): string => join(directory, name);
    const podman = (...args: readonly string[]) =>
      execute('podman', ['--root', at('root'), '--runroot', at('run'), '--storage-driver', 'vfs', ...args], {
        timeout: 60_000,
      });
    t.teardown(() => rm(at('root'), { recursive: true, force: true }));
    const names = ['example.com/one:1', 'docker.io/library/two:2'];
    for (const [index, image] of [one, two].entries()) {
      await writeFile(at('load.tar'), await tarOf(layoutOfImages({ [names[index] ?? '']: image })));
      await podman('load', '--input', at('load.tar'));
    }
    await podman('tag', 'example.com/one:1', 'example.com/also:1');
    await podman('save', '--multi-image-archive', '--output', at('many.tar'), ...names, 'example.com/also:1');
    await podman('save', '--format', 'oci-archive', '--output', at('one.tar'), 'example.com/one:1');

    const many = await openImporting(t);
    await many.take(await readFile(at('many.tar')));
    const listed = await many.listed();
    t.deepEqual(Object.keys(listed).sort(), [...names, 'example.com/also:1'].sort());
    t.is(listed['example.com/one:1'], listed['example.com/also:1']);
    t.true((await many.blobs()).includes(digestOf(one.config)));
    const again = await openImporting(t);
    await again.take(await readFile(at('many.tar')));
    t.deepEqual(await again.listed(), listed);

    const single = await openImporting(t);
    await single.take(await readFile(at('one.tar')));
    t.deepEqual(Object.keys(await single.listed()), ['example.com/one:1']);
    t.true((await single.blobs()).includes(digestOf(one.config)));
  },
);
