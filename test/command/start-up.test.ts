import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { openShell } from '../helpers/shell.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** Each has a hundred modules or is large: together they would double what a command takes to start. */
const heavy = [
  ...[
    'bullmq',
    'fleet',
    'htmlparser2',
    'ioredis',
    'openpgp',
    'piscina',
    'prom-client',
    'tar-stream',
    'undici',
    'js-yaml',
    'yargs',
    'zod',
  ],
];

/** Where which of the heavy packages were loaded is written to the standard error at the end. */
async function shellThatNamesLoaded(t: ExecutionContext) {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `import { registerHooks } from 'node:module';
    const loaded = new Set();
    registerHooks({
      load(url, context, next) {
        const found = next(url, context);
        loaded.add(/.*\\/node_modules\\/([^/]+)/.exec(url)?.[1]);
        // what a file was put together from is named in it
        for (const [, name] of String(found.source).matchAll(/^\\/\\/ node_modules\\/([^/]+)/gm)) loaded.add(name);
        for (const [, name] of (url + '\\n' + found.source).matchAll(/^(?:file:.*\\/|\\/\\/ )src\\/(fleet)\\//gm)) loaded.add(name);
        return found;
      },
    });
    process.on('exit', () => console.error(${JSON.stringify(heavy)}.filter((name) => loaded.has(name)).join(' ')));`,
  );
  return openShell(t, `--import '${hooks}'`);
}

test('a command that only reads the store loads nothing large', async (t) => {
  const { run } = await shellThatNamesLoaded(t);
  t.like(await run('longshore image list --help'), { code: 0, stderr: 'yargs\n' });
  t.like(await run('longshore image list --no-legend'), { code: 0, stdout: '', stderr: '\n' });
});

test('what a fleet needs is loaded by its own commands only', async (t) => {
  const { run } = await shellThatNamesLoaded(t);
  const address = 'docker://127.0.0.1:1/app:1';
  const others = [
    `longshore fetch --retries=0 --progress=none ${address}`,
    `longshore push --retries=0 --progress=none app --to docker://127.0.0.1:1`,
    'longshore image verify',
    'longshore --help',
    'longshore fleet work --help',
  ];
  for (const command of others) t.notRegex((await run(command)).stderr, /bullmq|fleet\b|ioredis/, command);
  const { stderr } = await run('longshore fleet status --queue=redis://127.0.0.1:1');
  t.regex(stderr, /^(?!.*bullmq).*\bfleet .*ioredis/m);
});

test('what writes metrics is loaded only where they are asked for', async (t) => {
  const { run } = await shellThatNamesLoaded(t);
  const fetch = 'longshore fetch --retries=0 --progress=none http://127.0.0.1:1/app.aci';
  t.notRegex((await run(fetch)).stderr, /prom-client/);
  t.regex((await run(`${fetch} --metrics run.prom`)).stderr, /prom-client/);
});

test('what writes a bill of materials and statements is loaded only where they are asked for', async (t) => {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `import { registerHooks } from 'node:module';
    const words = ['bomFormat', 'in-toto.io/Statement', 'BEGIN (?:[A-Z]+ )?PRIVATE'];
    const loaded = new Set();
    registerHooks({
      load(url, context, next) {
        const found = next(url, context);
        for (const word of words) if (String(found.source).includes(word)) loaded.add(word);
        return found;
      },
    });
    process.on('exit', () => console.error('loaded: ' + [...loaded].sort().join(' ')));`,
  );
  const { run, directory } = await openShell(t, `--import '${hooks}'`);
  const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(join(directory, 'key.pem'), key, { mode: 0o600 });
  const fetch = 'longshore fetch --retries=0 --progress=none http://127.0.0.1:1/app.aci';
  t.regex((await run(fetch)).stderr, /^loaded: $/m);
  t.regex((await run(`${fetch} --bom bom.json`)).stderr, /^loaded: bomFormat$/m);
  const { stderr } = await run(`${fetch} --attest out.jsonl --attest-key key.pem`);
  t.regex(stderr, /^loaded: BEGIN .* in-toto\.io\/Statement$/m);
});

test('the version is printed before anything but a few small files is loaded', async (t) => {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `import { registerHooks } from 'node:module';
    let bytes = 0;
    registerHooks({
      load(url, context, next) {
        const found = next(url, context);
        bytes += found.source?.length ?? 0;
        return found;
      },
    });
    process.on('exit', () => console.error(bytes));`,
  );
  const { run } = await openShell(t, `--import '${hooks}'`);
  const { code, stderr } = await run('longshore --version');
  t.is(code, 0);
  t.true(Number(stderr) > 500 && Number(stderr) < 2_000, stderr);
});

test('a fetch from a plain http server loads neither TLS nor HTTP/2, nor what undici has beside its connections', async (t) => {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `const modules = ['net', 'http', 'tls', 'http2', 'zlib'].map((name) => 'NativeModule ' + name);
    process.on('exit', () => {
      const loaded = process.moduleLoadList.filter((name) => modules.includes(name)).map((name) => name.slice(13));
      console.error(loaded.sort().join(' '));
    });`,
  );
  const { run } = await openShell(t, `--import '${hooks}'`);
  const { code, stderr } = await run('longshore fetch --retries=0 --progress=none http://127.0.0.1:1/app.aci');
  t.not(code, 0);
  t.regex(stderr, /CONNECTION|NETWORK/);
  t.regex(stderr, /\nhttp net\n$/);
});

test('a short run keeps the flags that compiled code was made with, without which V8 compiles all of it again', async (t) => {
  const hooks = join(await temporaryDirectory(t), 'hooks.mjs');
  await writeFile(
    hooks,
    `import { cachedDataVersionTag } from 'node:v8';
    const before = cachedDataVersionTag();
    process.on('exit', () => console.error(cachedDataVersionTag() === before || process.uptime() > 0.5));`,
  );
  const { run } = await openShell(t, `--import '${hooks}'`);
  t.like(await run('longshore image list --no-legend'), { code: 0, stderr: 'true\n' });
});
