import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { blobFile } from '../../../src/bundle/bundle.ts';
import { buildAci } from '../../helpers/archive.ts';
import { layoutOfImages, makeImage, tarOf } from '../../helpers/carried.ts';
import { openGpg } from '../../helpers/keys.ts';
import { digestOf } from '../../helpers/registry-image.ts';
import { fits } from '../../helpers/schemas.ts';
import { openShell } from '../../helpers/shell.ts';

const one = await makeImage('one');
const two = await makeImage('two');

async function openCommand(t: ExecutionContext) {
  const shell = await openShell(t);
  const at = (name: string): string => join(shell.directory, name);
  await writeFile(at('images.tar'), await tarOf(layoutOfImages({ 'example.com/one:1': one, 'busybox:2': two })));
  return { ...shell, at };
}

test('the images of an archive are brought from a file, from standard input and through a pipe, each with a line', async (t) => {
  const { run } = await openCommand(t);
  const lines = `${one.manifest.digest}\n${two.manifest.digest}\n`;
  const how = '--insecure-options=image';
  for (const [dir, line] of [
    ['a', `longshore image import ${how} --dir=a images.tar`],
    ['b', `longshore image import ${how} --dir=b - <images.tar`],
    ['c', `cat images.tar | gzip | longshore image import ${how} --dir=c -`],
    ['d', `mkfifo pipe; cat images.tar >pipe & longshore image import ${how} --dir=d pipe`],
  ] as const) {
    const { code, stdout, stderr } = await run(line);
    t.is(code, 0, stderr);
    t.is(stdout, lines, line);
    t.regex(stderr, /^2 images: 2 fetched; /m);
    const listed = await run(`longshore image list --dir=${dir} --fields=name --no-legend --sort=name`);
    t.is(listed.stdout, 'docker.io/library/busybox:2\nexample.com/one:1\n');
  }
});

test('the result and the events fit their schemas; an image that is refused is named, and decides the exit code', async (t) => {
  const { run, at } = await openCommand(t);
  const { code, stdout, stderr } = await run('longshore image import --output=json --events events images.tar');
  t.is(code, 5);
  t.like(fits(t, stdout), { schema: 'longshore.import/1', totals: { images: 2, failed: 2, bytesDownloaded: 0 } });
  t.regex(
    stderr,
    /^error: docker:\/\/example\.com\/one:1: SIGNATURE_MISSING: there is no signature of the image in .*images\.tar/m,
  );
  for (const line of (await readFile(at('events'), 'utf8')).trimEnd().split('\n')) fits(t, line);
  const again = await run('longshore image import --output=json --insecure-options=image images.tar');
  t.is(again.code, 0, again.stderr);
  t.like(fits(t, again.stdout), { totals: { fetched: 2 } });
});

test('a large archive is told of while it is read, and the metrics say what became of its images', async (t) => {
  const { run, at } = await openCommand(t);
  const large = { ...layoutOfImages({ 'example.com/one:1': one }), rest: Buffer.alloc(34 * 2 ** 20) };
  await writeFile(at('large.tar'), await tarOf(large));
  const line = 'longshore image import --insecure-options=image --jobs=1 --events events --metrics run.prom';
  const { code, stderr } = await run(`${line} large.tar`);
  t.is(code, 0, stderr);
  t.regex(stderr, /^reading .*large\.tar: 34 MiB$/m);
  const events = (await readFile(at('events'), 'utf8')).trimEnd().split('\n');
  const read = events.map((event) => fits(t, event)).filter(({ type }) => type === 'archive-read');
  t.is(read.length, 1);
  t.true(Number(read[0]?.['bytes']) >= 32 * 2 ** 20 && Number(read[0]?.['bytes']) < Number(read[0]?.['total']));
  const metrics = await readFile(at('run.prom'), 'utf8');
  t.true(metrics.includes('longshore_images_total{status="fetched",command="import",run="run"} 1\n'), metrics);
  const over = await run(`${line.replace('run.prom', 'large.tar')} large.tar`);
  t.is(over.code, 2);
  t.regex(over.stderr, /--metrics: "large\.tar" is an image or a signature of this run/);
});

test('an archive that was altered is to be brought again', async (t) => {
  const { run, at } = await openCommand(t);
  const altered = Buffer.from(one.packed);
  altered[20] = (altered[20] ?? 0) ^ 1;
  const files = layoutOfImages({ 'example.com/one:1': one });
  await writeFile(at('altered.tar'), await tarOf({ ...files, [blobFile(digestOf(one.packed))]: altered }));
  const { code, stderr } = await run('longshore image import --insecure-options=image altered.tar');
  t.is(code, 5);
  t.regex(stderr, /one:1: DIGEST_MISMATCH: .* has other content .*\. It was altered or damaged on its way/);
});

test('of an archive that cannot be read nothing is written, and it is named', async (t) => {
  const { run } = await openCommand(t);
  for (const [line, code, message] of [
    [
      'head -c 3000 images.tar >cut.tar; longshore image import --output=json cut.tar',
      5,
      'cut.tar: not a valid image archive: the archive ends',
    ],
    ['longshore image import --output=json absent.tar', 4, 'absent.tar: no such file'],
    ['mkdir empty; longshore image import --output=json empty', 4, 'empty/oci-layout: no such file'],
    [
      'gzip <images.tar | head -c 99 >cut.tgz; longshore image import --output=json cut.tgz',
      5,
      'cut.tgz: cannot read the archive: its gzip stream is cut short',
    ],
    ['longshore image import --output=json /bin/sh', 5, '/bin/sh: not an archive of images but an ELF program'],
    ['longshore image import --as a:b images.tar', 2, 'USAGE: --as'],
    ['longshore image import ""', 2, 'USAGE: the name of the file is empty'],
  ] as const) {
    const { code: ended, stdout, stderr } = await run(line);
    t.is(ended, code, line);
    t.is(stdout, '');
    t.true(stderr.includes(message), stderr);
  }
});

test('a file with an ACI is read as fetch reads it, with the signature beside it', async (t) => {
  const { run, at } = await openCommand(t);
  await using gpg = await openGpg();
  const key = await gpg.createKey();
  const { bytes, imageId } = await buildAci({ name: 'example.com/app', version: '1', compress: 'gzip' });
  await writeFile(at('app.aci'), bytes);
  await writeFile(at('key.asc'), await gpg.certificate(key));
  const unsigned = await run('longshore image import app.aci');
  t.is(unsigned.code, 5, unsigned.stderr);
  const piped = await run('longshore image import --insecure-options=image - <app.aci');
  t.is(piped.code, 5);
  t.regex(piped.stderr, /ARCHIVE_UNREADABLE: .* imported from a file: .*\. Write it to a file, and import that\./);
  await writeFile(at('app.aci.asc'), await gpg.sign(key, bytes));
  await run(`longshore trust --prefix=example.com --skip-fingerprint-review key.asc`);
  const { code, stdout, stderr } = await run('longshore image import --full app.aci');
  t.is(code, 0, stderr);
  t.is(stdout, `${imageId}\n`);
});
