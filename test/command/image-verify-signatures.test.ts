import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { openGpg } from '../helpers/keys.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { startServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const gpg = await openGpg();
test.after.always(() => gpg.close());

/** A store with a signed archive, which came from a file and is gone, and from a server that sends its signature late. */
async function open(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const signer = await gpg.createKey({ userId: 'Ann <ann@example.com>' });
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_INSECURE_OPTIONS: 'http',
  };
  const longshore = (...args: readonly string[]) => runHere([...args], environment);
  const trust = async () => {
    await writeFile(at('key.asc'), await gpg.certificate(signer));
    return longshore('trust', '--root', '--fingerprint', signer, at('key.asc'));
  };
  t.is((await trust()).code, 0);

  const [file, late] = [await buildAci({ name: 'example.com/file' }), await buildAci({ name: 'example.com/late' })];
  await writeFile(at('file.aci'), file.bytes);
  await writeFile(at('file.aci.asc'), await gpg.sign(signer, file.bytes));
  t.is((await longshore('fetch', at('file.aci'))).code, 0);
  await rm(at('file.aci'));
  const signature = await gpg.sign(signer, late.bytes);
  let asked = 0;
  const server = await startServer(t, {
    '/late.aci': { body: late.bytes },
    '/late.aci.asc': {
      handler(_, response) {
        asked += 1;
        response.writeHead(asked === 1 ? 202 : 200).end(asked === 1 ? '' : signature);
      },
    },
  });
  const fetched = await longshore('fetch', `${server.url}/late.aci`);
  t.is(fetched.code, 0, fetched.stderr);
  return { at, longshore, trust, signer };
}

test('archives are judged again without their bytes as transferred: a key that is revoked since then verifies nothing', async (t) => {
  const { longshore, trust, signer } = await open(t);
  const judge = () => longshore('image', 'verify', '--signatures');
  t.like(await judge(), { code: 0, stdout: 'judged 2 images: none would be refused\n' });
  t.regex(
    (await longshore('image', 'show', 'example.com/late')).stdout,
    new RegExp(`Proof: +openpgp by ${signer}, over sha256:`),
  );

  await gpg.revoke(signer);
  t.is((await trust()).code, 0);
  const revoked = await judge();
  t.is(revoked.code, 5, revoked.stdout);
  t.regex(
    revoked.stdout,
    /example\.com\/file +KEY_REVOKED\n.*example\.com\/late +KEY_REVOKED\njudged 2 images: 2 would be refused\n$/,
  );
  t.is((await longshore('image', 'verify')).code, 0);

  t.is((await longshore('trust', 'remove', signer)).code, 0);
  t.regex((await judge()).stderr, /KEY_UNKNOWN: signed by/);
});

test('a proof whose bytes or digests were changed proves nothing, and what an earlier version stored is told apart', async (t) => {
  const { at, longshore } = await open(t);
  const change = (statement: string): void => {
    using index = new DatabaseSync(at('store/index.sqlite'));
    index.exec(statement);
  };
  change(
    `UPDATE proofs SET facts = replace(facts, '["', '["00') WHERE image IN (SELECT id FROM images WHERE name = 'example.com/file')`,
  );
  change(`DELETE FROM proofs WHERE image IN (SELECT id FROM images WHERE name = 'example.com/late')`);
  const { code, stdout } = await longshore('image', 'verify', '--signatures', '--output=json');
  t.is(code, 5);
  t.like(fits(t, stdout), {
    checked: 2,
    refused: [{ name: 'example.com/file', error: { code: 'SIGNATURE_INVALID' } }],
    unproven: [{ name: 'example.com/late' }],
  });
});
