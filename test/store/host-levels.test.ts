import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import fc from 'fast-check';

import { readHostLevels, writeHostLevels } from '../../src/store/host-levels.ts';
import { buildAci } from '../helpers/archive.ts';
import { startBusyHost } from '../helpers/busy-host.ts';
import { openFetching } from '../helpers/fetching.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const hour = 3_600_000;
const nowMs = 1_800_000_000_000;
const level = { level: 8, ceiling: 9 };

async function place(t: Parameters<typeof temporaryDirectory>[0]) {
  const path = join(await temporaryDirectory(t), 'hosts.json');
  return { path, file: { path, mode: 0o640 } };
}

test('what was found of a host is known for an hour, also what other processes found', async (t) => {
  const { path, file } = await place(t);
  t.is((await readHostLevels(path, nowMs)).size, 0);
  await writeHostLevels(file, new Map([['a:1', level]]), nowMs);
  await writeHostLevels(file, new Map([['b:1', { level: 3, ceiling: undefined }]]), nowMs + hour / 2);
  t.deepEqual(Object.fromEntries(await readHostLevels(path, nowMs + hour - 1)), {
    'a:1': level,
    'b:1': { level: 3, ceiling: undefined },
  });
  t.deepEqual([...(await readHostLevels(path, nowMs + hour)).keys()], ['b:1']);
  t.is((await readHostLevels(path, nowMs - 1)).size, 0, 'nor is anything of the future known');
});

test('of more than 256 hosts the latest are kept', async (t) => {
  const { path, file } = await place(t);
  const many = (name: string) => new Map(Array.from({ length: 200 }, (_, at) => [`${name}-${at}:443`, level]));
  await writeHostLevels(file, many('a'), nowMs);
  await writeHostLevels(file, many('b'), nowMs + 1);
  const known = [...(await readHostLevels(path, nowMs + 1)).keys()];
  t.is(known.length, 256);
  t.is(known.filter((name) => name.startsWith('b')).length, 200);
});

test('of a file that is not ours nothing is known, and it is replaced', async (t) => {
  for (const content of ['', '{', 'null', '[]', '{"hosts":{}}', '{"hosts":[null,1,[],{}]}', ' '.repeat(70_000)]) {
    const { path, file } = await place(t);
    await writeFile(path, content);
    t.is((await readHostLevels(path, nowMs)).size, 0, content.slice(0, 30));
    await writeHostLevels(file, new Map([['a:1', level]]), nowMs);
    t.is((await readHostLevels(path, nowMs)).size, 1);
  }
});

test('a symlink in its place is not followed', async (t) => {
  const { path, file } = await place(t);
  const other = `${path}-other`;
  await writeFile(other, JSON.stringify({ hosts: [{ host: 'a:1', level: 8, atMs: nowMs }] }));
  await symlink(other, path);
  t.is((await readHostLevels(path, nowMs)).size, 0);
  const before = await readFile(other);
  await writeHostLevels(file, new Map([['b:1', level]]), nowMs);
  t.deepEqual(await readFile(other), before);
  t.deepEqual([...(await readHostLevels(path, nowMs)).keys()], ['b:1']);
});

test('whatever stands in the file, levels are small whole numbers', async (t) => {
  const { path } = await place(t);
  const wild = fc.oneof(fc.jsonValue(), fc.integer(), fc.double(), fc.string());
  const entry = fc.record({
    host: fc.oneof(wild, fc.constant('a:1')),
    level: wild,
    ceiling: wild,
    atMs: fc.oneof(wild, fc.constant(nowMs)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 20 }), async (hosts) => {
      await writeFile(path, JSON.stringify({ hosts }));
      for (const { level, ceiling = 1 } of (await readHostLevels(path, nowMs)).values()) {
        if (![level, ceiling].every((number) => Number.isInteger(number) && number >= 1 && number <= 1024))
          return false;
      }
      return true;
    }),
    { numRuns: 100 },
  );
  t.pass();
});

test('the next run begins where the last one has come, and is refused nothing; without the file it begins anew', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const host = await startBusyHost(t, { image: bytes, accepts: 2, answerMs: 200 });
  const { finder, directory, store } = await openFetching(t, { insecure: { image: true } });
  const urls = host.urls(60).map((image) => ({ image }));
  const fetch = async (images: typeof urls): Promise<number> => {
    const before = host.asked.length;
    const opened = finder();
    const { totals } = await opened.findImages(images);
    t.is(totals.fetched, images.length);
    await opened.close();
    return host.asked.slice(before).filter(({ isRefused }) => isRefused).length;
  };
  t.true((await fetch(urls.slice(0, 30))) > 0);
  const path = join(directory, 'store', 'hosts.json');
  t.is((await store.hostLevels()).get(new URL(host.url).host)?.ceiling, 2);
  t.is(await fetch(urls.slice(30, 50)), 0);
  await writeFile(path, 'damaged');
  t.true((await fetch(urls.slice(50))) > 0);
});

test('nothing is known of a host that refuses everything, however little it is asked for', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const host = await startBusyHost(t, { image: bytes, accepts: 0, answerMs: 20 });
  const { finder, store } = await openFetching(t, { insecure: { image: true }, retries: 0 });
  const opened = finder();
  const { totals } = await opened.findImages(host.urls(8).map((image) => ({ image })));
  await opened.close();
  t.is(totals.failed, 8);
  t.is((await store.hostLevels()).size, 0);
});

test('a directory in its place fails no fetch', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const host = await startBusyHost(t, { image: bytes, accepts: 2, answerMs: 20 });
  const { finder, directory } = await openFetching(t, { insecure: { image: true } });
  await mkdir(join(directory, 'store', 'hosts.json'));
  const opened = finder();
  const { totals } = await opened.findImages(host.urls(10).map((image) => ({ image })));
  await opened.close();
  t.is(totals.fetched, 10);
});
