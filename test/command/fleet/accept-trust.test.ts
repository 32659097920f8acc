import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { createCosignKey, payloadOf, putSignatures } from '../../helpers/cosign.ts';
import { openCommandFleet } from '../../helpers/fleet-command.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';

test('keys that a batch has count for it alone, at workers that accept that, and for the prefix that it names', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, registry, longshore, work } = fleet;
  const key = createCosignKey();
  const path = join(directory, 'cosign.pub');
  await writeFile(path, key.pem);
  for (const name of ['signed', 'other']) {
    const repository = `trusted/${name}`;
    const image = registry.putImage(repository, '1', { layers: [await layerOf({ name })] });
    const payload = payloadOf({ digest: image.digest, reference: `${registry.host}/${repository}` });
    putSignatures(registry, repository, image, [{ payload, signature: key.sign(payload) }]);
  }
  const image = `docker://${registry.host}/trusted/signed:1`;
  const other = `docker://${registry.host}/trusted/other:1`;
  const trust = ['--trust', `${registry.host}/trusted/signed=${path}`];
  const bring = async (batch: string, submit: readonly string[], ...args: readonly string[]) => {
    const submitted = await longshore('fleet', 'submit', `--batch=${batch}`, ...submit);
    t.is(submitted.code, 0, submitted.stderr);
    const worked = await work('one', `--batch=${batch}`, '--insecure-options=http', ...args).ended;
    t.is(worked.code, 0, worked.stderr);
    return { stderr: worked.stderr, result: await longshore('fleet', 'result', batch, '--output=json') };
  };

  const without = await bring('without', [image, ...trust]);
  t.regex(without.stderr, /the keys that the batch without has do not count here, without --accept-trust/);
  t.regex(without.result.stdout, /"status":"failed"/);

  const { result } = await bring('with', [image, other, ...trust], '--accept-trust');
  const { images } = JSON.parse(result.stdout) as {
    readonly images: readonly { readonly status: string; readonly signedBy?: readonly string[] }[];
  };
  t.like(images[0], { status: 'fetched', signedBy: [key.fingerprint] }, result.stdout);
  t.like(images[1], { status: 'failed' }, 'the key is not for its name');

  const after = await bring('after', [image], '--accept-trust');
  t.regex(after.result.stdout, /"status":"failed"/, 'another batch has to bring the key itself');
});

test('a key for a batch is a public one, and has a prefix', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, longshore, images, redis } = fleet;
  const [image = ''] = images;
  const at = (name: string): string => join(directory, name);
  for (const text of [
    at('submit.pub'),
    `=${at('submit.pub')}`,
    `a b=${at('submit.pub')}`,
    `example.com/a=${at('submit.pem')}`,
    'example.com/a=',
  ]) {
    const { code, stderr } = await longshore('fleet', 'submit', image, `--trust=${text}`);
    t.is(code, 2, stderr);
    t.regex(stderr, /^error: USAGE: --trust: /);
  }
  t.is(await redis.ask('DBSIZE'), '0');
});
