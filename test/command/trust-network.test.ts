import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../helpers/environment.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { runHere } from '../helpers/run-here.ts';
import { type ServerOptions, startServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { hasTerminal, onTerminal } from '../helpers/terminal.ts';

const gpg = await openGpg();
const ann = await gpg.createKey({ userId: 'ann@example.com' });
const bob = await gpg.createKey({ userId: 'bob@example.com' });
test.after.always(() => gpg.close());

const prefix = 'example.com/team';

/** A server with the keys of Ann and Bob and a page that offers both, and longshore with configuration of its own. */
async function serving(t: ExecutionContext, options: ServerOptions = { https: true }) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const server = await startServer(t, {}, options);
  const [annUrl, bobUrl] = [`${server.url}/ann.asc`, `${server.url}/bob.asc`];
  server.routes['/ann.asc'] = { body: await gpg.certificate(ann) };
  server.routes['/bob.asc'] = { body: await gpg.certificate(bob) };
  const offers = [annUrl, bobUrl, annUrl].map((url) => `<meta name="ac-discovery-pubkeys" content="${prefix} ${url}">`);
  server.routes[`/${prefix}`] = { body: offers.join('') };
  await writeFile(at('ca.pem'), server.ca);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_USER_CONFIG: at('user'),
    LONGSHORE_RETRIES: '0',
    LONGSHORE_DISCOVER: `example.com=${server.url}`,
    ...(server.ca && { LONGSHORE_CA_FILE: at('ca.pem') }),
  };
  const trust = (...args: readonly string[]) => runHere(['trust', ...args], environment);
  const trusted = async (): Promise<readonly string[]> => {
    const { keys } = JSON.parse((await trust('list', '--output=json')).stdout) as { keys: { fingerprint: string }[] };
    return keys.map(({ fingerprint }) => fingerprint).toSorted();
  };
  return { ...server, at, annUrl, bobUrl, environment, trust, trusted };
}

test('a key is downloaded over https, with the credentials of its own origin and no other', async (t) => {
  const { at, port, trust, trusted, annUrl, routes, requests } = await serving(t);
  await mkdir(at('local/auth.d'), { recursive: true });
  const credentials = { user: 'u', password: 'p' };
  const auth = { rktKind: 'auth', rktVersion: 'v1', domains: [`127.0.0.1:${port}`], type: 'basic', credentials };
  await writeFile(at('local/auth.d/a.json'), JSON.stringify(auth));
  const elsewhere = await startServer(t, { '/ann.asc': { body: await gpg.certificate(ann) } }, { https: true });
  routes['/moved.asc'] = { status: 302, headers: { location: `${elsewhere.url}/ann.asc` } };

  const added = await trust('--root', '--skip-fingerprint-review', annUrl);
  t.is(added.code, 0, added.stderr);
  t.regex(added.stdout, /^Added root key at /);
  t.deepEqual(await trusted(), [ann]);
  t.regex(requests[0]?.headers.authorization ?? '', /^Basic /);
  t.is((await trust('--root', '--skip-fingerprint-review', '--insecure-options=tls', `${annUrl}?secret`)).code, 0);
  t.is(
    (await trust('--root', '--skip-fingerprint-review', '--insecure-options=tls', annUrl.replace('ann', 'moved'))).code,
    0,
  );
  t.is(elsewhere.requests[0]?.headers.authorization, undefined);
});

test('over http a key is accepted only where that was allowed', async (t) => {
  const { trust, annUrl, requests, environment } = await serving(t, {});
  const strict = { ...environment, LONGSHORE_DISCOVER: '' };
  const refused = await runHere(['trust', '--root', '--skip-fingerprint-review', annUrl], strict);
  t.is(refused.code, 5);
  t.regex(refused.stderr, /INSECURE_REFUSED: keys are not accepted over http/);
  t.is(requests.length, 0);
  for (const allow of ['--insecure-allow-http', '--insecure-options=http']) {
    t.is((await runHere(['trust', '--root', '--skip-fingerprint-review', annUrl, allow], strict)).code, 0, allow);
  }
  t.is((await trust('--root', '--skip-fingerprint-review', annUrl)).code, 0, 'an http origin of --discover');
  t.is((await trust('--root', 'ftp://example.com/key')).code, 2);
});

test('without a key, the keys that discovery finds for the prefix are trusted, each once', async (t) => {
  const { trust, trusted, environment } = await serving(t);
  const found = await trust('--prefix', prefix, '--skip-fingerprint-review');
  t.is(found.code, 0, found.stderr);
  t.is(found.stdout.match(/^Added key for prefix "example\.com\/team" at /gm)?.length, 2);
  t.deepEqual(await trusted(), [ann, bob].toSorted());
  t.is((await trust('--prefix', 'example.com/nobody')).code, 4);
  t.is((await trust('--root')).code, 2);
  const both = ['--fingerprint', ann, '--skip-fingerprint-review'];
  t.is((await trust('--prefix', 'example.com/nobody', ...both)).code, 2, 'said before anything is asked for');
  t.is((await runHere(['trust'], environment)).code, 2);
});

test('--trust-keys-from-https trusts only keys that came over https, and not while certificates are unchecked', async (t) => {
  const { at, trust, trusted, annUrl } = await serving(t);
  await writeFile(at('bob.asc'), await gpg.certificate(bob));
  const unchecked = ['--trust-keys-from-https', '--insecure-options=tls'];
  t.is((await trust('--root', ...unchecked, annUrl)).code, 2);
  t.deepEqual(await trusted(), []);
  const both = await trust('--root', '--trust-keys-from-https', annUrl, at('bob.asc'));
  t.is(both.code, 2);
  t.regex(both.stderr, /bob\.asc: USAGE: no terminal to review/);
  t.deepEqual(await trusted(), [ann]);
  t.is((await trust('--root', '--trust-keys-from-https', '--insecure-options=tls,pubkey', annUrl)).code, 0);
});

test('a key that is too large, missing or invalid is refused, and its query is not shown', async (t) => {
  const { trust, trusted, routes, url } = await serving(t);
  routes['/large'] = { body: Buffer.alloc(1024 * 1024 + 1), chunked: true };
  routes['/page'] = { body: '<html></html>' };
  for (const [path, code, word] of [
    ['large', 5, 'LIMIT_EXCEEDED'],
    ['none', 4, 'HTTP_STATUS'],
    ['page', 5, 'KEY_INVALID'],
  ] as const) {
    const refused = await trust('--root', '--skip-fingerprint-review', `${url}/${path}?token=secret`);
    t.is(refused.code, code, refused.stderr);
    t.regex(refused.stderr, new RegExp(`/${path}: ${word}: `));
    t.false(refused.stderr.includes('secret'));
  }
  t.deepEqual(await trusted(), []);
});

test.serial('on a terminal there is a question for each discovered key', async (t) => {
  if (!hasTerminal) {
    t.pass('script(1) is not here');
    return;
  }
  const { trusted, environment, at } = await serving(t);
  const { code, output } = await onTerminal(['trust', '--prefix', prefix], environment, ['no', 'yes']);
  t.is(code, 0, output);
  t.regex(output, /not trusting ".*\/ann\.asc"/);
  t.regex(output, /Added key for prefix "example\.com\/team" at /);
  t.deepEqual(await trusted(), [bob], output);
  t.deepEqual((await readdir(at('.'))).includes('system'), false);
});

test('the refusal of an unknown signer contains the command that trusts it', async (t) => {
  const { environment, at } = await serving(t, {});
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(ann, bytes) });
  await origin.publish({ name: 'example.com/app', version: '1' });
  const keyTag = `<meta name="ac-discovery-pubkeys" content="example.com/app ${origin.url}/ann.asc">`;
  origin.routes['/example.com/app'] = { body: keyTag };
  origin.routes['/ann.asc'] = { body: await gpg.certificate(ann) };
  const settings = { ...environment, LONGSHORE_DISCOVER: `example.com=${origin.url}`, LONGSHORE_DIR: at('store') };
  const fetch = () => runHere(['fetch', 'example.com/app:1', '--progress=none'], settings);

  const { code, stderr } = await fetch();
  t.is(code, 5);
  t.true(stderr.includes(ann) && /looked at the keys of .*root.*example\.com/.test(stderr), stderr);
  const [, command = ''] = /or longshore (trust --prefix \S+) for the keys that discovery offers/.exec(stderr) ?? [];
  t.is((await runHere([...command.split(' '), '--skip-fingerprint-review'], settings)).code, 0);
  t.is((await fetch()).code, 0);
});

test('a fetch accepts no offered key over https with unchecked certificates, unless that was allowed, too', async (t) => {
  const { environment, at, trusted } = await serving(t, {});
  const origin = await startOrigin(t, { https: true, sign: (bytes) => gpg.sign(ann, bytes) });
  await origin.publish({ name: 'example.com/app', version: '1' });
  const keyTag = `<meta name="ac-discovery-pubkeys" content="example.com/app ${origin.url}/ann.asc">`;
  origin.routes['/example.com/app'] = { body: keyTag };
  origin.routes['/ann.asc'] = { body: await gpg.certificate(ann) };
  const settings = { ...environment, LONGSHORE_DISCOVER: `example.com=${origin.url}`, LONGSHORE_DIR: at('store') };
  const fetch = (lifted: string) =>
    runHere(['fetch', 'example.com/app:1', '--trust-keys-from-https', `--insecure-options=${lifted}`], settings);

  t.is((await fetch('tls')).code, 5);
  t.deepEqual(await trusted(), []);
  const { code, stderr } = await fetch('tls,pubkey');
  t.is(code, 0, stderr);
  t.regex(stderr, /warning: signing keys may come over a connection whose certificate is not checked/);
  t.deepEqual(await trusted(), [ann]);
});
