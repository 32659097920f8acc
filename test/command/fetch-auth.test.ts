import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../helpers/environment.ts';
import { startOrigin } from '../helpers/origin.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const accepted = { basic: 'Basic YmFyOmJheg==', oauth: 'Bearer sometoken' };
const credentials = { basic: { user: 'bar', password: 'baz' }, oauth: { token: 'sometoken' } };
const wrong = { basic: { user: 'bar', password: 'bogus' } };

type Type = keyof typeof accepted;

/** An unsigned image on an https server of unknown authority that wants credentials, if of a type, and longshore beside it. */
async function serving(t: ExecutionContext, type?: Type) {
  const directory = await temporaryDirectory(t);
  const origin = await startOrigin(t, { https: true });
  const { path, bytes, url, imageId } = await origin.publish({ name: 'example.com/app' });
  origin.routes[path] = {
    handler: ({ headers }, response) => {
      if (type === undefined || headers.authorization === accepted[type]) response.end(bytes);
      else response.writeHead(401).end();
    },
  };
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_RETRIES: '0',
  };
  const fetch = (insecure = 'image,tls') =>
    runHere(['fetch', '--full', '--no-store', `--insecure-options=${insecure}`, url], environment);
  return {
    fetch,
    origin,
    /** Writes `document` at a path below the directory, such as `local/auth.d/a.json`. */
    configure: async (at: string, document: object) => {
      await mkdir(dirname(join(directory, at)), { recursive: true });
      await writeFile(join(directory, at), JSON.stringify(document));
    },
    /** Credentials for the server, as configuration has them. */
    auth: (secrets: object) => ({
      rktKind: 'auth',
      rktVersion: 'v1',
      domains: [`127.0.0.1:${origin.port}`],
      type,
      credentials: secrets,
    }),
    isFetched: async () => {
      const { code, stdout, stderr } = await fetch();
      t.deepEqual([code, stdout], [0, `${imageId}\n`], stderr);
    },
    isDenied: async () => {
      const { code, stdout, stderr } = await fetch();
      t.deepEqual([code, stdout], [6, '']);
      t.regex(stderr, /^error: .*\/example\.com\/app-latest\.aci: HTTP_STATUS: .*401/m);
    },
  };
}

test('without credentials all images are served, and one without a signature is refused only if signatures are checked', async (t) => {
  const { fetch, isFetched } = await serving(t);
  const { code, stderr } = await fetch('tls');
  t.is(code, 5);
  t.regex(stderr, /^error: .*: SIGNATURE_MISSING: /m);
  await isFetched();
});

for (const [type, layer] of [
  ['basic', 'local'],
  ['basic', 'system'],
  ['oauth', 'local'],
  ['oauth', 'system'],
] as const) {
  test(`${type}: with credentials of the ${layer} configuration image and signature are served, without any they are not`, async (t) => {
    const { configure, auth, fetch, origin, isDenied, isFetched } = await serving(t, type);
    await isDenied();
    await configure(`${layer}/auth.d/a.json`, auth(credentials[type]));
    await isFetched();
    t.is((await fetch('tls')).code, 5, 'a signature is looked for, and there is none');
    const signature = origin.requests.find(({ url }) => url.endsWith('.asc'));
    t.is(signature?.headers.authorization, accepted[type]);
  });
}

for (const [what, system, local] of [
  ['worse', credentials, wrong],
  ['better', wrong, credentials],
] as const) {
  test(`the local configuration overrides the system's, for ${what}`, async (t) => {
    const { configure, auth, isDenied, isFetched } = await serving(t, 'basic');
    const [first, then] = what === 'better' ? [isDenied, isFetched] : [isFetched, isDenied];
    await configure('system/auth.d/one.json', auth(system.basic));
    await first();
    await configure('local/auth.d/other.json', auth(local.basic));
    await then();
  });
}

test('files not named .json, or in subdirectories, are ignored', async (t) => {
  const { configure, auth, isDenied, isFetched } = await serving(t, 'oauth');
  const document = auth(credentials.oauth);
  for (const layer of ['system', 'local']) {
    for (const file of ['README', 'test.notjson', 'subdirectory/test.json']) {
      await configure(`${layer}/auth.d/${file}`, document);
    }
  }
  await isDenied();
  await configure('local/auth.d/test.json', document);
  await isFetched();
});
