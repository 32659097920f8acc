import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import test from 'ava';
import { create } from 'tar';

import { ingest } from '../../../workers/ingest/ingest.ts';
import { goodManifest } from '../../helpers/tar-forge.ts';
import { convertLayers } from '../convert/layers.ts';
import { formatTree } from '../convert/listing.ts';
import { requestFor } from '../ingest-request.ts';
import { check } from './check.ts';

for (const format of ['gnu', 'pax', 'ustar', 'oldgnu']) {
  for (const top of ['.', 'manifest rootfs', 'rootfs manifest']) {
    test(`GNU tar --format=${format} of ${top} is accepted`, async (t) => {
      const directory = await mkdtemp(join(tmpdir(), 'longshore-tar-'));
      t.teardown(() => rm(directory, { recursive: true }));
      const deep = join(directory, 'rootfs', 'a'.repeat(80), 'b'.repeat(60));
      await mkdir(deep, { recursive: true });
      await writeFile(join(directory, 'manifest'), goodManifest);
      await writeFile(join(deep, 'file'), 'content');
      await writeFile(join(directory, 'rootfs', 'name with ü and \n in it'), '');
      await link(join(deep, 'file'), join(directory, 'rootfs', 'second'));
      await symlink('/etc/passwd', join(directory, 'rootfs', 'symlink'));
      if (format !== 'ustar') await writeFile(join(deep, 'c'.repeat(200)), 'x');
      execFileSync('mkfifo', [join(directory, 'rootfs', 'fifo')]);
      const tar = execFileSync('tar', ['-c', `--format=${format}`, '-C', directory, ...top.split(' ')]);
      t.is(check(tar), goodManifest);
    });
  }
}

const deep = `${'a'.repeat(80)}/${'b'.repeat(40)}`;
const ways: Readonly<
  Record<string, { readonly gzip?: true; readonly noPax?: true; readonly noMtime?: true; readonly portable?: true }>
> = {
  'its defaults': {},
  gzip: { gzip: true },
  noPax: { noPax: true },
  noMtime: { noMtime: true },
  portable: { portable: true },
};

for (const [way, options] of Object.entries(ways)) {
  test(`an image and a layer written by npm's tar with ${way} are accepted`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'longshore-tar-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const image = join(directory, 'image');
    await mkdir(join(image, 'rootfs', deep), { recursive: true });
    await writeFile(join(image, 'manifest'), goodManifest);
    await writeFile(join(image, 'rootfs', deep, 'file'), 'content');
    await symlink('/etc/passwd', join(image, 'rootfs', 'symlink'));
    const path = join(directory, 'archive');

    for (const files of [['.'], ['manifest', 'rootfs']]) {
      await create({ ...options, file: path, cwd: image }, files);
      const { manifest } = await ingest(await requestFor(t, { kind: 'file', path }));
      t.is(manifest, goodManifest, files.join());
    }

    const found = `${'a'.repeat(80)}/ ${deep}/ ${deep}/file=content symlink~>/etc/passwd`;
    for (const prefix of ['', 'opt/app']) {
      await create({ ...options, file: path, cwd: join(image, 'rootfs'), prefix }, ['.']);
      const blob = await readFile(path);
      const tar = options.gzip ? gunzipSync(blob) : blob;
      const below = prefix === '' ? found : `opt/ opt/app/ ${found.replaceAll(/(?<=^| )/g, 'opt/app/')}`;
      t.is(formatTree((await convertLayers(t, [{ tar, blob }])).tar), below);
    }
  });
}
