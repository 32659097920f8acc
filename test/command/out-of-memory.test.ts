import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { buildTar } from '../helpers/archive.ts';
import { runCli } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

test('an image that uses all memory of its thread is refused and named, and is no bug', async (t) => {
  const directory = await temporaryDirectory(t);
  const manifest = JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/app' });
  const head = await buildTar([
    { name: 'manifest', content: manifest },
    { name: 'rootfs', type: 'directory' },
  ]);
  const [entry] = [await buildTar([{ name: 'rootfs/0000000000' }])];
  const header = entry.subarray(0, 512);
  const entries = Buffer.alloc(300_000 * 512);
  for (let number = 0; number < 300_000; number++) {
    const at = number * 512;
    header.copy(entries, at);
    entries.write(String(number).padStart(10, '0'), at + 'rootfs/'.length);
    const sum = entries
      .fill(' ', at + 148, at + 156)
      .subarray(at, at + 512)
      .reduce((total, byte) => total + byte, 0);
    entries.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148);
  }
  const image = join(directory, 'many.aci');
  await writeFile(image, gzipSync(Buffer.concat([head.subarray(0, -1024), entries, Buffer.alloc(1024)]), { level: 1 }));
  const { code, stderr } = await runCli(
    ['fetch', '--insecure-options=image', '--progress=none', '--dir', join(directory, 'store'), image],
    { NODE_OPTIONS: '--max-old-space-size=30' },
  );
  t.is(code, 5, stderr);
  t.regex(
    stderr,
    /many\.aci: LIMIT_EXCEEDED: a thread ran out of memory over .*many\.aci; the limit of its heap is \d+ MiB\./,
  );
  t.notRegex(stderr, /bug/);
});
