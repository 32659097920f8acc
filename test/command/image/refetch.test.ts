import { join } from 'node:path';

import test from 'ava';

import { buildAci } from '../../helpers/archive.ts';
import { damageFile } from '../../helpers/damage.ts';
import { startServer } from '../../helpers/server.ts';
import { openShell } from '../../helpers/shell.ts';

test('verify --repair fetches only a bad blob again from its source', async (t) => {
  const app = await buildAci({ name: 'example.com/app', size: 5_000, compress: 'gzip' });
  const lib = await buildAci({ name: 'example.com/lib', size: 5_000, compress: 'gzip' });
  const server = await startServer(t, { 'GET /app.aci': { body: app.bytes }, 'GET /lib.aci': { body: lib.bytes } });
  const { directory, run } = await openShell(t);
  const fetched = await run(`longshore fetch --insecure-options=image ${server.url}/app.aci ${server.url}/lib.aci`);
  t.is(fetched.code, 0, fetched.stderr);
  await damageFile(join(directory, 'store/blobs/sha512', app.imageId.slice(7)), 'flip');

  const repaired = await run('longshore image verify --repair --output=json');
  t.is(repaired.code, 0, repaired.stderr);
  t.deepEqual(JSON.parse(repaired.stdout), {
    schema: 'longshore.verify/1',
    checked: 2,
    damaged: [{ imageID: app.imageId, problem: 'wrong hash', repaired: true }],
    unreferenced: 0,
  });
  t.deepEqual(server.requests.map(({ url }) => url).sort(), ['/app.aci', '/app.aci', '/lib.aci']);
  t.is((await run('longshore image verify')).code, 0);
});

test('an image whose source is gone stays unlisted, and that is a failure', async (t) => {
  const app = await buildAci({ name: 'example.com/app', size: 5_000, compress: 'gzip' });
  const server = await startServer(t, { 'GET /app.aci': { body: app.bytes } });
  const { directory, run } = await openShell(t);
  await run(`longshore fetch --insecure-options=image ${server.url}/app.aci`);
  await server.close();
  await damageFile(join(directory, 'store/blobs/sha512', app.imageId.slice(7)), 'cut');
  t.is((await run('longshore image verify --repair')).code, 8);
  t.is((await run('longshore image list --no-legend')).stdout, '');
});
