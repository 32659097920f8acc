import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const gpg = await openGpg();
const ann = await gpg.createKey({ userId: 'ann@example.com' });
const bob = await gpg.createKey({ userId: 'bob@example.com' });
test.after.always(() => gpg.close());

/** longshore with a store and keys of its own, and the keys of Ann and Bob as files. */
async function longshore(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  await writeFile(at('ann.asc'), await gpg.certificate(ann));
  await writeFile(at('bob.asc'), await gpg.certificate(bob));
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_USER_CONFIG: at('user'),
  };
  const run = (...args: readonly string[]) => runHere(args, environment);
  return {
    at,
    run,
    fetch: (...args: readonly string[]) => run('fetch', '--full', ...args),
    trust: async (key: 'ann' | 'bob', where: string) => {
      const { code, stderr } = await run('trust', where, '--skip-fingerprint-review', at(`${key}.asc`));
      t.is(code, 0, stderr);
    },
  };
}

test('an image file is accepted only once its signer is trusted for its name', async (t) => {
  const { at, fetch, trust } = await longshore(t);
  const images = [];
  for (const name of ['example.com/app', 'example.org/other']) {
    const { bytes, imageId } = await buildAci({ name });
    const path = at(`${name.replace('/', '-')}.aci`);
    await writeFile(path, bytes);
    images.push({ path, bytes, imageId });
  }
  const [app, other] = images;
  if (!app || !other) return t.fail();
  const refused = async (path: string, code: string) => {
    const { code: exit, stdout, stderr } = await fetch('--progress=none', path);
    t.deepEqual([exit, stdout], [5, '']);
    t.regex(stderr, new RegExp(`^error: ${path}: ${code}: `, 'm'));
  };
  const taken = async (path: string, imageId: string) => {
    const { code, stdout, stderr } = await fetch('--progress=none', path);
    t.deepEqual([code, stdout], [0, `${imageId}\n`], stderr);
  };

  await refused(app.path, 'SIGNATURE_MISSING');
  for (const { path, bytes } of images) await writeFile(`${path}.asc`, await gpg.sign(ann, bytes, { armor: false }));
  await refused(app.path, 'KEY_UNKNOWN');
  await trust('ann', '--prefix=example.com/other');
  await refused(app.path, 'KEY_UNKNOWN');
  await trust('bob', '--prefix=example.com/app');
  await refused(app.path, 'KEY_UNKNOWN');
  await trust('ann', '--prefix=example.com/app');
  await taken(app.path, app.imageId);
  await refused(other.path, 'KEY_UNKNOWN');
  for (const prefix of ['example.net', 'example.org/others']) await trust('ann', `--prefix=${prefix}`);
  await refused(other.path, 'KEY_UNKNOWN');
  await trust('ann', '--root');
  await taken(app.path, app.imageId);
  await taken(other.path, other.imageId);
});

test('a signature elsewhere is given on the command line or in a list', async (t) => {
  const { at, fetch, trust } = await longshore(t);
  await trust('ann', '--root');
  const expected = [];
  for (const name of ['one', 'three', 'two']) {
    const { bytes, imageId } = await buildAci({ name: `example.com/${name}` });
    await writeFile(at(`${name}.aci`), bytes);
    await writeFile(at(`${name}.sig`), await gpg.sign(ann, bytes));
    expected.push(`${imageId}\n`); // those of lists come last
  }
  await writeFile(at('list'), './two.aci signature=two.sig\n');
  const named = (name: string, signature: string) => [at(`${name}.aci`), '--signature', at(signature)];
  const { code, stdout, stderr } = await fetch(
    ...named('one', 'one.sig'),
    '-f',
    at('list'),
    ...named('three', 'three.sig'),
  );
  t.deepEqual([code, stdout], [0, expected.join('')], stderr);

  const wrong = await fetch('--progress=none', ...named('one', 'two.sig'));
  t.deepEqual([wrong.code, wrong.stdout], [5, '']);
  t.regex(wrong.stderr, /one\.aci: SIGNATURE_INVALID: /);
  t.is((await fetch('--insecure-options=image', ...named('one', 'missing.sig'))).code, 0, 'nobody looks at it');
});

test('a delayed signature is waited for, with a message, and the image is accepted', async (t) => {
  const { fetch, trust } = await longshore(t);
  const origin = await startOrigin(t, { https: true, sign: (bytes) => gpg.sign(ann, bytes) });
  const { url, path, imageId } = await origin.publish({ name: 'example.com/app' });
  const signed = origin.routes[`${path}.asc`];
  origin.routes[`${path}.asc`] = {
    handler: (_request, response) => {
      if (origin.served(path) === 0) response.writeHead(202).end();
      else response.end(signed?.body);
    },
  };
  await trust('ann', '--root');
  const { code, stdout, stderr } = await fetch('--debug', '--insecure-options=tls', '--progress=plain', url);
  t.deepEqual([code, stdout], [0, `${imageId}\n`], stderr);
  t.regex(stderr, /^waiting https:\/\/127\.0\.0\.1:\d+\/example\.com\/app-latest\.aci: .*signature/m);
});

test('an image whose signer is no longer trusted is shown as such, and is not used', async (t) => {
  const { at, run, fetch, trust } = await longshore(t);
  const { bytes, imageId } = await buildAci({ name: 'example.com/app' });
  await writeFile(at('app.aci'), bytes);
  await writeFile(at('app.aci.asc'), await gpg.sign(ann, bytes));
  await trust('ann', '--root');
  t.is((await fetch(at('app.aci'))).code, 0);
  const images = async () =>
    (JSON.parse((await run('image', 'list', '--output=json')).stdout) as { images: object[] }).images;
  const column = async () => (await run('image', 'list', '--fields=verified', '--no-legend')).stdout.trim();
  t.like(await images(), [{ imageID: imageId, verified: [ann], trusted: undefined }]);
  t.is(await column(), ann.slice(-16));

  t.is((await run('trust', 'remove', ann)).code, 0);
  t.like(await images(), [{ imageID: imageId, verified: [ann], trusted: false }]);
  t.is(await column(), `${ann.slice(-16)} (not trusted now)`);
  t.regex((await run('image', 'show', imageId)).stdout, new RegExp(`^Signed by: +${ann} \\(not trusted now\\)$`, 'm'));
  const { code, stderr } = await fetch('--store-only', imageId);
  t.is(code, 5);
  t.regex(stderr, new RegExp(`KEY_UNKNOWN: it was verified by ${ann}, not trusted now for example.com/app`));
});
