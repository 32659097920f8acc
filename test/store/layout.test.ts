import { tmpdir } from 'node:os';

import test from 'ava';

import { networkFilesystem, requireLocalFilesystem } from '../../src/store/layout.ts';

test('network filesystems are recognised by their type, those of FUSE by the mount table', (t) => {
  t.is(networkFilesystem(0x6969, undefined), 'nfs');
  t.is(networkFilesystem(0xff534d42, undefined), 'cifs');
  t.is(networkFilesystem(0xff534d42 | 0, undefined), 'cifs', 'the type may come as a negative number');
  t.is(networkFilesystem(0x65735546, 'fuse.sshfs'), 'fuse.sshfs');
  t.is(networkFilesystem(0x65735546, 'fuseblk'), undefined);
  t.is(networkFilesystem(0x65735546, undefined), undefined);
  t.is(networkFilesystem(0xef53, undefined), undefined);
});

test('a local directory is accepted', async (t) => {
  await t.notThrowsAsync(requireLocalFilesystem(tmpdir()));
});
