import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import fc from 'fast-check';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { runCli } from '../helpers/run-cli.ts';
import { runHere } from '../helpers/run-here.ts';
import { startServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const { bytes } = await buildAci({ name: 'example.com/app', version: '1' });

/** Ways that something secret comes along: each a path, or a whole reference, and how it is served. */
const kinds = [
  'good',
  'redirected',
  'gone',
  'failing',
  'refused',
  'cut',
  'page',
  'to-user',
  'to-ftp',
  'to-nonsense',
  'unreachable',
  'discovered',
  'registry',
] as const;

/** A server that gives away `secret` at every opportunity. */
async function longshore(
  t: Parameters<typeof startServer>[0] & Parameters<typeof temporaryDirectory>[0],
  secret: string,
) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const server = await startServer(t, {});
  const to = (location: string) => ({ status: 302, headers: { location } });
  const { url, port } = server;
  Object.assign(server.routes, {
    '/good.aci': { body: bytes },
    '/redirected.aci': to(`/good.aci?sig=${secret}`),
    '/failing.aci': { status: 500 },
    '/refused.aci': { status: 403, headers: { 'www-authenticate': `Basic realm="${secret}"` } },
    '/cut.aci': { body: bytes, cutAfter: 10 },
    '/page.aci': { body: '<html>' },
    '/to-user.aci': to(`http://user:${secret}@127.0.0.1:${port}/good.aci`),
    '/to-ftp.aci': to(`ftp://127.0.0.1/?sig=${secret}`),
    '/to-nonsense.aci': to(`http://user:${secret}@[/?sig=${secret}`),
    '/example.com': {
      body: `<meta name="ac-discovery" content="example.com ${url}/{name}.{ext}?sig=${secret}">
        <meta name="ac-discovery" content="example.com ${url}/good.{ext}?sig=${secret}">`,
    },
    '/v2/': { status: 401, headers: { 'www-authenticate': `Bearer realm="${url}/token?sig=${secret}",service="s"` } },
    '/v2/app/manifests/latest': {
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="${url}/token?sig=${secret}",service="s"` },
    },
    '/token': { body: `{"token":"${secret}","details":"see ${url}/?sig=${secret}"}`, status: 403 },
  });
  const reference = (kind: (typeof kinds)[number]): string => {
    if (kind === 'discovered') return 'example.com/app';
    if (kind === 'registry') return `docker://127.0.0.1:${port}/app`;
    if (kind === 'unreachable') return `http://127.0.0.1:1/x.aci?sig=${secret}`;
    return `${url}/${kind}.aci?sig=${secret}`;
  };
  const environment = {
    ...environmentIn(directory),
    ...{ LONGSHORE_INSECURE_OPTIONS: 'image,http', LONGSHORE_RETRIES: '0' },
    ...{ LONGSHORE_DISCOVER: `example.com=${url}`, LONGSHORE_DEBUG: '1' },
  };
  return {
    ...{ at, directory, reference },
    run: (...args: readonly string[]) => runHere(args, environment),
    runApart: (more: Readonly<Record<string, string>>, ...args: readonly string[]) =>
      runCli(args, { ...environment, ...more }),
  };
}

/** A JSON result without what the caller said. */
function withoutReferences(text: string): string {
  return JSON.stringify(JSON.parse(text), (key, value: unknown) => (key === 'reference' ? undefined : value));
}

test('no event, result, report, lock file, list or message contains a secret of a URL', async (t) => {
  const scenario = fc.record({
    secret: fc.stringMatching(/^[0-9a-f]{12}$/).map((digits) => `s3cr3t${digits}`),
    asked: fc.uniqueArray(fc.constantFrom(...kinds), { minLength: 1, maxLength: 4 }),
    progress: fc.constantFrom('json', 'plain'),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ secret, asked, progress }) => {
      const { at, directory, reference, run } = await longshore(t, secret);
      const references = asked.map(reference);
      await writeFile(at('list'), references.join('\n'));
      const files = ['--events', at('events'), '--report', at('report.html'), '--lock', at('lock.json')];
      const fetched = await run('fetch', '-f', at('list'), '--output=json', `--progress=${progress}`, ...files);
      const planned = await run('plan', '-f', at('list'), '--output=json', '--no-store');
      const texts = [
        ...[fetched.stderr, withoutReferences(fetched.stdout), planned.stderr, withoutReferences(planned.stdout)],
        ...(await Promise.all(
          ['plan -f LIST --no-store', 'plan -f LIST --output=dot', 'image list --output=json', 'image verify'].map(
            async (line) => {
              const { stdout, stderr } = await run(...line.replace('LIST', at('list')).split(' '));
              return stdout + stderr;
            },
          ),
        )),
      ];
      for (const name of await readdir(directory)) {
        if (name !== 'list' && name !== 'store') texts.push(await readFile(at(name), 'utf8'));
      }
      t.true(texts.join('').length > 1000);
      for (const text of texts) {
        const found = text.indexOf(secret);
        if (found >= 0) throw new Error(`${asked.join()}: …${text.slice(Math.max(0, found - 300), found + 50)}`);
      }
    }),
    { numRuns: 12, includeErrorInReport: true },
  );
});

test('with NODE_DEBUG every room writes what it does, also in threads, and no secret', async (t) => {
  const { at, reference, runApart } = await longshore(t, 's3cr3t');
  await writeFile(at('list'), kinds.map(reference).join('\n'));
  const lines = { fetch: ['-f', at('list')], plan: ['-f', at('list'), '--no-store'], 'image verify': [] };
  let said = '';
  for (const [command, args] of Object.entries(lines)) {
    const { stderr } = await runApart({ NODE_DEBUG: 'longshore:*' }, ...command.split(' '), ...args);
    said += stderr;
  }
  t.notRegex(said, /s3cr3t/);
  const debugged = said.split('\n').filter((line) => /^LONGSHORE:/.test(line));
  const rooms = Map.groupBy(debugged, (line) => /^LONGSHORE:(\w+)/.exec(line)?.[1]?.toLowerCase() ?? '');
  for (const [room, line] of [
    ['cli', /fetch: 0 operands; options: --from-file/],
    ['coordinator', /good\.aci: visited after \d+ ms/],
    ['discovery', /\/example\.com: 2 tags/],
    ['fetchers', /good\.aci: not in the URL cache/],
    ['http', /GET http:\S+\/good\.aci: 200, answered after \d+ ms/],
    ['images', /sha512-\w+: hashes \d+ bytes/],
    ['pool', /ingest: done, \d+ ms/],
    ['registry', /manifests\/latest of app: asks the registry 127\.0\.0\.1/],
    ['store', /thread \d+: transaction: 1 commit.*; 0 failed, \d+ ms/],
    ['workers', /thread \d+: ingest: ended after \d+ ms/],
  ] as const)
    t.true(
      rooms.get(room)?.some((one) => line.test(one)),
      `${room}: ${rooms.get(room)?.join('\n')}`,
    );

  const { stderr } = await runApart({ NODE_DEBUG: 'longshore:store,http' }, 'image', 'list');
  t.notRegex(stderr, /LONGSHORE:(?!STORE)/, 'only what was asked for');
});

test('no message about a wrong command line repeats a secret in it', async (t) => {
  const { run } = await longshore(t, 's3cr3t');
  for (const line of [
    'fetch http://user:s3cr3t@example.com/a.aci',
    'fetch http:/example.com/a.aci?sig=s3cr3t',
    'fetch ftp://user:s3cr3t@example.com/a.aci?sig=s3cr3t',
    'fetch docker://user:s3cr3t@example.com/app',
    'fetch docker://example.com/app?sig=s3cr3t',
    'fetch https://example.com:port/a.aci?sig=s3cr3t',
    'https://example.com/a.aci?sig=s3cr3t',
    'image https://example.com/a.aci?sig=s3cr3t',
    'image list https://example.com/a.aci?sig=s3cr3t',
    'image show https://user:s3cr3t@example.com/a.aci?sig=s3cr3t',
    'image rm https://user:s3cr3t@example.com/a.aci?sig=s3cr3t',
    'image export https://user:s3cr3t@example.com/a.aci?sig=s3cr3t out',
    'trust --root ftp://user:s3cr3t@example.com/key?sig=s3cr3t',
    'trust --root file://user:s3cr3t@example.com/key?sig=s3cr3t',
    'trust --root http://user:s3cr3t@example.com/key?sig=s3cr3t',
    'trust --prefix https://user:s3cr3t@example.com',
    'fetch a --mirror https://user:s3cr3t@example.com',
    'fetch a --mirror https://user:s3cr3t@example.com=x',
    'fetch a --mirror example.com=https://user:s3cr3t@example.com',
    'fetch a --discover https://user:s3cr3t@example.com',
    'fetch a --discover example.com=https://user:s3cr3t@example.com',
    'fetch a --connect-to https://user:s3cr3t@example.com',
    'fetch a --deny-net https://user:s3cr3t@example.com',
    'fetch a -f https://user:s3cr3t@example.com/list?sig=s3cr3t',
    'fetch a --signature https://user:s3cr3t@example.com/a.aci.asc?sig=s3cr3t -f /dev/null/none',
  ]) {
    const { code, stdout, stderr } = await run(...line.split(' '));
    t.true(code > 0, line);
    t.notRegex(stdout + stderr, /s3cr3t/, line);
  }
});

test('the password of a proxy, or of any other variable, is not repeated', async (t) => {
  const { reference, at } = await longshore(t, 'other');
  const environment = { HOME: at('home'), LONGSHORE_DIR: at('store'), LONGSHORE_INSECURE_OPTIONS: 'image,http' };
  for (const proxy of ['http://user:s3cr3t@127.0.0.1:1', 'http://user:s3cr3t@[', 'ftp://user:s3cr3t@a', 's3cr3t@%:x']) {
    const { code, stdout, stderr } = await runHere(
      ['fetch', reference('good').replace('127.0.0.1', 'example.invalid'), '--debug', '--retries=0', '--progress=json'],
      { ...environment, http_proxy: proxy },
    );
    t.true(code > 0, proxy);
    t.notRegex(stdout + stderr, /s3cr3t/, proxy);
  }
});
