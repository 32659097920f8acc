import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { preload, withoutGrace } from '../helpers/preload.ts';
import { bin } from '../helpers/run-cli.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { until } from '../helpers/until.ts';

const execute = promisify(execFile);

/** Work that goes wrong: what happens when a file `*.aci` is looked at. */
const whenLookedAt = (look: string): string =>
  preload(`
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const { stat } = fs.promises;
    fs.promises.stat = (path, options) => String(path).endsWith('.aci') ? (${look})() : stat(path, options);
    syncBuiltinESMExports();
  `);

test.serial('work that never settles ends as a failure that names requests without an outcome', async (t) => {
  const { run } = await openShell(t, whenLookedAt('() => new Promise(() => {})'));
  const { code, stdout, stderr } = await run(
    'touch a.aci b.aci; longshore fetch --progress=none --insecure-options=image ./a.aci ./b.aci',
  );
  t.deepEqual([code, stdout], [1, '']);
  t.regex(stderr, /^error: \.\/a\.aci: INTERNAL: no outcome$/m);
  t.regex(stderr, /^error: \.\/b\.aci: INTERNAL: no outcome$/m);
});

test.serial('an uncaught exception is one line and a failure', async (t) => {
  const { run } = await openShell(
    t,
    whenLookedAt('() => { setTimeout(() => { throw new Error(`it broke`) }); return new Promise(() => {}) }'),
  );
  const { code, stderr } = await run('touch a.aci; exec longshore fetch --progress=none ./a.aci');
  t.is(code, 1);
  t.is(stderr, 'error: INTERNAL: unexpected: it broke\n');
});

test.serial('a bug in the work is INTERNAL, with its cause under --debug', async (t) => {
  const { run } = await openShell(t, preload('URL.parse = () => { throw new TypeError(`not a function`); };'));
  const { code, stderr } = await run('longshore fetch --progress=none --debug http://a.example/a.aci');
  t.is(code, 1);
  t.regex(stderr, /^error: INTERNAL: unexpected: not a function\. .*\n {2}└─ not a function\n$/);
});

for (const [signal, exit] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test.serial(
    `the first ${signal} ends the run with ${exit} and a summary, while a body is still coming`,
    async (t) => {
      const server = await startServer(t, { '/a.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 } });
      const { start } = await openShell(t, preload(withoutGrace));
      const { child, result } = start(`exec longshore fetch --insecure-options=image ${server.url}/a.aci`);
      await until(() => server.requests.length > 0);
      child.kill(signal);
      const { code, stdout, stderr } = await result;
      t.deepEqual([code, stdout], [exit, '']);
      t.regex(stderr, /^1 image: 1 cancelled; /m);
      t.notRegex(stderr, /^error/m);
    },
  );
}

for (const [how, line] of Object.entries({
  nohup: `exec bash -c 'nohup longshore "$@"; exit $?' -`,
  'a shell that ignores it': `trap '' HUP; longshore`,
})) {
  test.serial(`SIGHUP stays ignored under ${how}, and SIGTERM ends the run`, async (t) => {
    const server = await startServer(t, { '/a.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 } });
    const { start } = await openShell(t, preload(withoutGrace));
    const { child, result } = start(`${line} fetch --insecure-options=image ${server.url}/a.aci`);
    await until(() => server.requests.length > 0);
    const pid = await processOf(server.url);
    process.kill(pid, 'SIGHUP');
    process.kill(pid, 'SIGTERM'); // as the second signal, it would end the run without a summary
    const { code, stderr } = await result;
    t.is(code, 143);
    t.regex(stderr, /^1 image: 1 cancelled; /m);
    t.is(child.signalCode, null);
  });
}

/** The number of the program that has the text on its command line, and is no shell. */
async function processOf(text: string): Promise<number> {
  for await (const path of glob('/proc/[0-9]*/cmdline')) {
    const [program = '', ...args] = (await readFile(path, 'utf8').catch(() => '')).split('\0');
    if (program === process.execPath && args.some((arg) => arg.includes(text))) return Number(path.split('/')[2]);
  }
  throw new Error(`no program has ${text} on its command line`);
}

const heedless = '() => { console.error(`at work`); setInterval(() => {}, 1000); return new Promise(() => {}) }';

test.serial('a second signal ends work that ignores the first', async (t) => {
  const { start } = await openShell(t, `${whenLookedAt(heedless)} ${preload(withoutGrace)}`);
  const { child, result } = start('touch a.aci; exec longshore fetch --progress=none ./a.aci');
  await once(child.stderr, 'data');
  child.kill('SIGTERM');
  // two signals that wait together may come in any order
  await until(async () => /^ShdPnd:\s*0+$/m.test(await readFile(`/proc/${child.pid}/status`, 'utf8')));
  child.kill('SIGINT');
  t.is((await result).code, 143);
});

test.serial('work that ignores the first signal is ended after 3 s', async (t) => {
  const { start } = await openShell(t, whenLookedAt(heedless));
  const { child, result } = start('touch a.aci; exec longshore fetch --progress=none ./a.aci');
  await once(child.stderr, 'data');
  const sentMs = Date.now();
  child.kill('SIGTERM');
  t.is((await result).code, 143);
  t.true(Date.now() - sentMs >= 2900);
});

test.serial('a reader that leaves early ends the run quietly', async (t) => {
  const { run } = await openShell(t);
  const { stdout, stderr } = await run('(longshore fetch --help; echo $? >code) | true; cat code');
  t.is(stderr, '');
  t.regex(stdout, /^[01]\n$/);
});

test.serial('an older Node is refused in one line, with exit code 2', async (t) => {
  const { run } = await openShell(
    t,
    preload(`Object.defineProperty(process, 'versions', { value: { node: '12.22.12' } })`),
  );
  const { code, stdout, stderr } = await run('longshore fetch a');
  t.deepEqual([code, stdout, stderr], [2, '', 'longshore: needs Node 24.15 or later, this is 12.22.12\n']);
});

test.serial("the entry file can be read by the system's Node, if that is an older one", async (t) => {
  const { directory } = await openShell(t);
  const entry = join(directory, 'bin.mjs');
  await copyFile(bin, entry); // it holds no types
  const system = await execute('/usr/bin/node', ['--version']).catch(() => undefined);
  if (!system || Number(/\d+/.exec(system.stdout)?.[0]) >= 24) {
    t.pass('there is no older Node');
    return;
  }
  const error = await t.throwsAsync<Error & { code: number; stderr: string }>(execute('/usr/bin/node', [entry]));
  t.is(error.code, 2);
  t.regex(error.stderr, /^longshore: needs Node 24\.15 or later, this is \d+\.\d+\.\d+\n$/);
});

test.serial('a variable for Node does not disable the check of certificates, and a message says so', async (t) => {
  const server = await startServer(t, {}, { https: true });
  const { run } = await openShell(t);
  const { code, stderr } = await run(`longshore fetch --insecure-options=image --retries=0 ${server.url}/a.aci`, {
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
  });
  t.is(code, 7);
  t.deepEqual(server.requests, []);
  t.deepEqual(stderr.match(/^warning: .*NODE_TLS.*$/gm), [
    'warning: NODE_TLS_REJECT_UNAUTHORIZED=0 is in the environment, but certificates are checked all the same:' +
      ' --insecure-options=tls leaves that out, --ca-file names an authority to trust',
  ]);
  t.regex(stderr, /^error: .*: TLS: /m);
});
