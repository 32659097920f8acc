import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../helpers/environment.ts';
import { startProxy } from '../helpers/proxy.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { startServer } from '../helpers/server.ts';
import { createAuthorities } from '../helpers/sigstore.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { createOwners, releaseOf, rootOf } from '../helpers/tuf.ts';

const authorities = await createAuthorities();
const owners = createOwners();

/** The command with configuration of its own, and a repository on loopback with `root.json`. */
async function open(t: ExecutionContext, { https = false } = {}) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const server = await startServer(t, {}, { https });
  await writeFile(at('root.json'), rootOf(owners));
  let version = 0;
  const publish = (root: unknown): void => {
    version += 1;
    const files = releaseOf(owners, { version, content: Buffer.from(JSON.stringify(root)) });
    for (const [path, body] of Object.entries(files)) server.routes[path] = { body };
  };
  const layer = process.getuid?.() === 0 ? 'local' : 'user';
  const environment: Record<string, string> = { ...environmentIn(directory), LONGSHORE_USER_CONFIG: at('user') };
  const update = (...args: readonly string[]) =>
    runHere(['trust', 'update-root', '--mirror', server.url, '--retries=0', ...args], environment);
  const named = (...args: readonly string[]) => update('--initial-root', at('root.json'), ...args);
  return { at, server, environment, publish, update, named, file: at(`${layer}/trustedkeys/trusted_root.json`) };
}

test('the trusted root is written where keys of this user are, and each authority that is new, gone or changed is told', async (t) => {
  const { publish, named, file, at } = await open(t);
  const { root } = authorities;
  publish(root);
  const dry = await named('--dry-run');
  t.is(dry.code, 0, dry.stderr);
  t.regex(dry.stdout, /\nWould write ".*trusted_root\.json"\n$/);
  await t.throwsAsync(readdir(join(file, '..')), { code: 'ENOENT' });

  const first = await named();
  t.is(first.code, 0, first.stderr);
  t.regex(
    first.stdout,
    /^new: authority for certificates https:\/\/fulcio\.example\.com \([0-9a-f]{16}\), from 2020-01-01\nnew: log of certificates https:\/\/ct\.example\.com .*\nnew: log of signatures .*\nnew: authority for time stamps .*\nWrote ".*"\n$/,
  );
  t.is(dry.stdout.replace('Would write', 'Wrote'), first.stdout);
  const current = fits(t, (await named('--output=json')).stdout);
  t.like(current, { dryRun: false, path: file, isCurrent: true, new: [], changed: [], gone: [] });
  t.deepEqual(JSON.parse(await readFile(file, 'utf8')), root);
  const again = await named();
  t.like(again, { code: 0, stdout: `"${file}" is up to date\n`, stderr: '' });

  const [authority] = root.certificateAuthorities;
  const ended = { ...authority, validFor: { start: '2020-01-01T00:00:00Z', end: '2030-01-01T00:00:00Z' } };
  publish({ ...root, certificateAuthorities: [ended], tlogs: [] });
  await mkdir(at('user/trustedkeys'), { recursive: true });
  if (!file.startsWith(at('user'))) await writeFile(at('user/trustedkeys/trusted_root.json'), '');
  const planned = fits(t, (await named('--output=json', '--dry-run')).stdout);
  const [from, until] = ['2020-01-01T00:00:00.000Z', '2030-01-01T00:00:00.000Z'];
  t.like(planned, { dryRun: true, isCurrent: false, new: [], gone: [{ kind: 'log of signatures' }] });
  t.like(planned['changed'], [{ before: { kind: 'certificates', from }, after: { from, until } }]);
  t.is('usedInstead' in planned, !file.startsWith(at('user')));
  const changed = await named();
  t.regex(
    changed.stdout,
    /^changed: authority for certificates .*, from 2020-01-01 until 2030-01-01 \(was: from 2020-01-01\)\ngone: log of signatures https:\/\/rekor\.example\.com .*\nWrote /,
  );
  if (!file.startsWith(at('user'))) t.regex(changed.stderr, /^warning: ".*user\/.*" is there, and is used instead\n$/);
});

test('a root that this version cannot use, or that others have signed, changes nothing', async (t) => {
  const { publish, named, update, file, at, server } = await open(t);
  publish(authorities.root);
  t.is((await named()).code, 0);
  const before = await readFile(file);
  for (const bad of [{ ...authorities.root, mediaType: 'of/tomorrow' }, { ...authorities.root, more: [] }, 'text']) {
    publish(bad);
    const { code, stdout, stderr } = await named();
    t.deepEqual([code, stdout], [5, '']);
    t.regex(stderr, /^error: TRUSTED_ROOT_REFUSED: the trusted root of http:.* cannot be used by this version: .*\n$/);
  }
  const unsigned = await update(); // by the root of the sigstore project
  t.is(unsigned.code, 5);
  t.regex(unsigned.stderr, /^error: TRUSTED_ROOT_REFUSED: .* signed by 0\/\d keys\. .*--initial-root/);
  t.deepEqual(await readFile(file), before);

  await writeFile(file, 'damaged');
  publish(authorities.root);
  t.regex((await named()).stdout, /^new: [^]*Wrote/);

  for (const [args, code] of [
    [['--mirror', 'ftp://example.com'], 2],
    [['--mirror', `${server.url}/?a`], 2],
    [['--initial-root', at('missing.json')], 4],
    [['--initial-root', at('.')], 8],
    [['operand'], 2],
  ] as const) {
    const { code: got, stderr } = await named(...args);
    t.is(got, code, `${args.join(' ')}: ${stderr}`);
    t.regex(stderr, /^error: .*\n$/);
    const [option, file = ''] = args;
    if (option === '--initial-root') t.true(stderr.includes(`${file}: `), stderr);
  }
  t.is((await named('--deny-net', '127.0.0.0/8')).code, 5);
});

test('it is asked for over https by the certificates and the proxy that fetch would use', async (t) => {
  const { publish, named, at, server, environment } = await open(t, { https: true });
  publish(authorities.root);
  const unknown = await named();
  t.is(unknown.code, 7, unknown.stderr);
  t.regex(unknown.stderr, /^error: TLS: /);
  await writeFile(at('ca.pem'), server.ca);
  const proxy = await startProxy(t);
  environment['https_proxy'] = proxy.url;
  const { code, stderr } = await named('--ca-file', at('ca.pem'));
  t.is(code, 0, stderr);
  t.deepEqual(new Set(proxy.requests.map(({ line }) => line)), new Set([`CONNECT 127.0.0.1:${server.port}`]));
  t.regex(server.requests[0]?.headers['user-agent'] ?? '', /^longshore/);
});
