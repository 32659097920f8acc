import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { type CommandFleet, openCommandFleet } from '../../helpers/fleet-command.ts';
import { openGpg } from '../../helpers/keys.ts';
import { type Origin, type Published, startOrigin } from '../../helpers/origin.ts';
import { until } from '../../helpers/until.ts';

const gpg = await openGpg();
const ann = await gpg.createKey({ userId: 'ann@example.com' });
test.after.always(() => gpg.close());

type ArchiveFleet = CommandFleet & {
  readonly origin: Origin;
  /** Names whose images depend on the same one, which comes late, and a URL. */
  readonly asked: readonly string[];
  readonly archives: readonly Published[];
  /** Starts workers that trust the key of the origin and serve each other, and submits a batch for all of them once they are there. */
  bring(this: void, names: readonly string[], ...args: readonly string[]): Promise<void>;
  /** The options of a worker that has a part in that. */
  readonly options: readonly string[];
  /** What the store of a worker has. */
  stored(this: void, name: string): Promise<readonly { readonly imageID: string }[]>;
};

async function openArchiveFleet(t: ExecutionContext): Promise<ArchiveFleet | undefined> {
  const fleet = await openCommandFleet(t);
  if (!fleet) return undefined;
  const { directory, longshore, work } = fleet;
  const origin = await startOrigin(t, { sign: (archive) => gpg.sign(ann, archive, { armor: true }) });
  const labels = { os: 'linux', arch: 'amd64' };
  const version = '1';
  const base = await origin.publish({ name: 'example.com/base', version, labels, size: 200_000 }, { delayMs: 300 });
  const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: version }] }];
  const apps = ['a', 'b', 'c', 'd'].map((name) =>
    origin.publish({ name: `example.com/app-${name}`, version, labels, dependencies, compress: 'gzip' }),
  );
  const alone = await origin.publish({ name: 'example.com/alone', version, size: 3_000_000 }, { etag: '"one"' });
  await writeFile(join(directory, 'ann.asc'), await gpg.certificate(ann));
  const trusted = await longshore('trust', '--root', '--skip-fingerprint-review', join(directory, 'ann.asc'));
  t.is(trusted.code, 0, trusted.stderr);
  await writeFile(join(directory, 'secret'), 'a'.repeat(32));
  const asked = [...['a', 'b', 'c', 'd'].map((name) => `example.com/app-${name}:1,os=linux,arch=amd64`), alone.url];
  const options = [
    ...[`--peer-secret=${join(directory, 'secret')}`, '--listen=127.0.0.1:0', '--batch=all'],
    ...['--insecure-options=http', `--discover=example.com=${origin.url}`],
  ];
  return {
    ...{ ...fleet, origin, asked, options, archives: [alone, base, ...(await Promise.all(apps))] },
    async bring(names, ...args) {
      const workers = names.map((name) => work(name, ...options, ...args));
      const there = async () => (await longshore('fleet', 'status')).stdout.match(/http:/g)?.length;
      await until(async () => (await there()) === names.length);
      const submitted = await longshore('fleet', 'submit', ...asked, '--batch=all', '--everywhere');
      t.is(submitted.code, 0, submitted.stderr);
      const waited = await longshore('fleet', 'wait', 'all');
      t.is(waited.code, 0, waited.stderr);
      for (const { ended } of workers) {
        const { code, stderr } = await ended;
        t.is(code, 0, stderr);
      }
    },
    async stored(name) {
      const dir = join(directory, `store-${name}`);
      const { stdout } = await longshore('image', 'list', '--output=json', '--dir', dir);
      const verified = await longshore('image', 'verify', '--signatures', '--dir', dir);
      t.is(verified.code, 0, verified.stdout + verified.stderr);
      return (JSON.parse(stdout) as { images: { imageID: string }[] }).images;
    },
  };
}

test('archives of a batch for everywhere are asked of their origin once, with their signatures, and come from the workers that have them', async (t) => {
  const fleet = await openArchiveFleet(t);
  if (!fleet) return;
  const { directory, origin, archives, bring, stored, longshore } = fleet;
  const [alone] = archives;
  const names = ['one', 'two', 'three'];
  await bring(names, '--jobs=1'); // so that no worker takes all of them
  for (const name of names) t.is((await stored(name)).length, archives.length, name);
  for (const { path } of archives) {
    t.is(origin.served(path), 1, path);
    t.is(origin.served(`${path}.asc`), 1, path);
  }

  const before = origin.requests.length;
  const again = ['--output=json', '--insecure-options=http', alone?.url ?? ''];
  for (const name of names) {
    const { stdout } = await longshore('fetch', '--dir', join(directory, `store-${name}`), ...again);
    t.like(JSON.parse(stdout), { images: [{ status: 'present', imageID: alone?.imageId }] }, stdout);
  }
  const asked = origin.requests.slice(before);
  t.is(asked.length, names.length, 'only whether it has changed');
  t.true(asked.every(({ headers }) => headers['if-none-match'] === '"one"'));
});

test('a worker that joins late gets the archives that the first worker got, though their origin has others now, and what its store has is not brought again', async (t) => {
  const fleet = await openArchiveFleet(t);
  if (!fleet) return;
  const { directory, origin, archives, asked, options, work, longshore, stored } = fleet;
  const [alone] = archives;
  const first = work('first', ...options.filter((option) => option !== '--batch=all'));
  t.is((await longshore('fleet', 'submit', ...asked, '--batch=all', '--everywhere')).code, 0);
  t.is((await longshore('fleet', 'wait', 'all')).code, 0);
  const had = ['fetch', '--dir', join(directory, 'store-late'), '--insecure-options=http', alone?.url ?? ''];
  t.is((await longshore(...had)).code, 0);
  await origin.publish({ name: 'example.com/base', version: '1', labels: { os: 'linux', arch: 'amd64' }, size: 100 });
  const before = origin.requests.length;
  const { code, stderr } = await work('late', ...options).ended;
  t.is(code, 0, stderr);
  t.deepEqual(origin.requests.slice(before), [], `it was asked: ${stderr}`);
  const has = (await stored('late')).map(({ imageID }) => imageID);
  t.deepEqual(has.toSorted(), archives.map(({ imageId }) => imageId).toSorted());
  t.regex(stderr, /^fetched example\.com\/app-a/m);
  t.notRegex(stderr, /^fetched .*alone/m);
  first.stop();
  t.is((await first.ended).code, 0);
});
