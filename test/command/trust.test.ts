import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { openGpg } from '../helpers/keys.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { hasTerminal, onTerminal } from '../helpers/terminal.ts';

const gpg = await openGpg();
const fingerprint = await gpg.createKey({ userId: 'Ann \u202eExample <ann@example.com>' });
test.after.always(() => gpg.close());

/** longshore with configuration of its own and the key in `key.asc`. */
async function longshore(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const key = join(directory, 'key.asc');
  await writeFile(key, await gpg.certificate(fingerprint));
  const layers = ['system', 'local', 'user'].map((name) => [
    `LONGSHORE_${name.toUpperCase()}_CONFIG`,
    join(directory, name),
  ]);
  const environment = Object.fromEntries(layers) as Record<string, string>;
  const trust = (...args: readonly string[]) => runHere(['trust', ...args], environment);
  return { directory, key, trust, environment };
}

test('a key is trusted for a prefix and listed, then removed', async (t) => {
  const { key, trust } = await longshore(t);
  const added = await trust(key, '--prefix', 'example.com/team', '--skip-fingerprint-review');
  t.is(added.code, 0, added.stderr);
  t.regex(
    added.stdout,
    new RegExp(`^Added key for prefix "example\\.com/team" at ".*/prefix\\.d/example\\.com/team/${fingerprint}"\\n$`),
  );
  t.true(added.stderr.replaceAll(' ', '').includes(fingerprint.toUpperCase()));
  t.notRegex(added.stderr, /\u202e/);

  const listed = JSON.parse((await trust('list', '--output=json')).stdout) as { keys: unknown[] };
  t.like(listed, { schema: 'longshore.keys/1' });
  t.like(listed.keys[0], { fingerprint, prefix: 'example.com/team', masked: false });
  t.regex(
    (await trust('list')).stdout,
    new RegExp(`^FINGERPRINT .*\\n${fingerprint} +example\\.com/team +(local|user) `),
  );

  const removed = await trust('remove', fingerprint);
  t.deepEqual(
    [removed.code, removed.stdout],
    [0, `Removed ${fingerprint}, no longer trusted for the prefix "example.com/team"\n`],
  );
  t.deepEqual(JSON.parse((await trust('list', '--output=json')).stdout), { schema: 'longshore.keys/1', keys: [] });
});

test('a file of several keys: each is shown and stored, unusable ones give a warning, the list shows revoked ones', async (t) => {
  const { directory, trust } = await longshore(t);
  const [expired, revoked, curve] = [
    await gpg.createKey({ at: '20200101T000000', expires: '1d' }),
    await gpg.createKey(),
    await gpg.createKey({ algorithm: 'brainpoolP256r1' }),
  ];
  await gpg.revoke(revoked);
  const file = join(directory, 'four.asc');
  await writeFile(file, await gpg.run(['--armor', '--export', fingerprint, expired, revoked, curve]));
  const { code, stdout, stderr } = await trust('--root', '--skip-fingerprint-review', file);
  t.is(code, 0, stderr);
  t.deepEqual(
    [...stdout.matchAll(/root\.d\/([0-9a-f]{40})"/g)].map(([, added]) => added).toSorted(),
    [fingerprint, expired, revoked].toSorted(),
  );
  t.regex(stderr, /warning: it verifies nothing: it expired at 2020-01-02/);
  t.regex(stderr, /warning: it verifies nothing: it is revoked/);
  t.regex(stderr, new RegExp(`warning: certificate \\d of ".*four\\.asc" is not taken: .*${curve}.*brainpoolP256r1`));
  t.regex((await trust('list')).stdout, new RegExp(`^${revoked} .* revoked `, 'm'));
  const { keys } = JSON.parse((await trust('list', '--output=json')).stdout) as { keys: { fingerprint: string }[] };
  t.like(
    keys.find((key) => key.fingerprint === revoked),
    { revoked: true, fault: 'it is revoked' },
  );
});

test('a root key is trusted for every name, and removed only on request', async (t) => {
  const { key, trust } = await longshore(t);
  t.regex((await trust('--root', key, '--skip-fingerprint-review')).stdout, /^Added root key at "/);
  t.is((await trust('remove', '--prefix', 'example.com', fingerprint)).code, 4);
  const removed = await trust('remove', '--root', fingerprint.toUpperCase());
  t.regex(removed.stdout, /every name/);
});

test('without a terminal no key is trusted without a review', async (t) => {
  const { directory, key, trust } = await longshore(t);
  const { code, stdout, stderr } = await trust(key, '--root');
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /--skip-fingerprint-review/);
  t.deepEqual(await readdir(directory), ['key.asc']);
});

test('a key that cannot be read does not affect the others', async (t) => {
  const { directory, key, trust } = await longshore(t);
  const secret = join(directory, 'secret.asc');
  await writeFile(secret, await gpg.run(['--armor', '--export-secret-keys', fingerprint]));
  const { code, stdout, stderr } = await trust(
    '--root',
    '--skip-fingerprint-review',
    join(directory, 'none'),
    secret,
    key,
  );
  t.is(code, 3);
  t.regex(stdout, /^Added root key/);
  t.regex(stderr, /none: FILE_NOT_FOUND: /);
  t.regex(stderr, /secret\.asc: KEY_INVALID: /);
});

test('a key file given by a file URL, or with an unusual name, is found', async (t) => {
  const { directory, trust, key } = await longshore(t);
  const odd = join(directory, 'a%20b?c.asc');
  await writeFile(odd, await gpg.certificate(fingerprint));
  for (const text of [odd, `file://${key}`]) {
    t.is((await trust('--root', '--skip-fingerprint-review', text)).code, 0, text);
  }
});

for (const [answers, added] of [
  [['maybe', 'yes'], true],
  [['no'], false],
] as const) {
  test.serial(`on a terminal the answers ${answers.join(', ')} decide`, async (t) => {
    if (!hasTerminal) {
      t.pass('script(1) is not here');
      return;
    }
    const { key, environment } = await longshore(t);
    const { code, output } = await onTerminal(['trust', '--root', key], environment, answers);
    t.is(code, 0, output);
    t.is(/Added root key at/.test(output), added, output);
    t.is(/not trusting/.test(output), !added, output);
  });
}

for (const [what, typed, exit, message] of [
  ['Ctrl-C', '\u0003', 130, /^((?!error:).)*$/s],
  ['the end of the input', '\u0004', 2, /USAGE: the input ended(.|\s)*USAGE: the input ended/],
] as const) {
  test.serial(`on a terminal ${what} trusts nothing and ends the run, however many keys there are`, async (t) => {
    if (!hasTerminal) {
      t.pass('script(1) is not here');
      return;
    }
    const { directory, key, environment } = await longshore(t);
    const { code, output } = await onTerminal(['trust', '--root', key, key], environment, [typed]);
    t.is(code, exit, output);
    t.regex(output, message);
    t.deepEqual(await readdir(directory), ['key.asc']);
  });
}
