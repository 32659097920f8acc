import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { goodManifest } from '../../helpers/tar-forge.ts';
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
