import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { serveReferrers } from '../helpers/attached.ts';
import { createCosignKey, payloadOf, putBundle, putSignatures } from '../helpers/cosign.ts';
import { environmentIn } from '../helpers/environment.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { digestOf } from '../helpers/registry-image.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { createAuthorities, provider, workflow } from '../helpers/sigstore.ts';
import { signMessage, statementOf } from '../helpers/simple-signing.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { untar } from '../helpers/untar.ts';

const gpg = await openGpg();
const signer = await gpg.createKey();
const cosign = createCosignKey();
const authorities = await createAuthorities();
test.after.always(() => gpg.close());

const kinds = ['simple', 'cosign', 'sigstore'] as const;
const aciName = 'example.com/app';

/** A bundle of an archive and three images of a registry, each signed in another way, and a command that trusts the signers. */
async function carried(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const put = async (path: string, content: string | Uint8Array): Promise<string> => {
    await mkdir(join(at(path), '..'), { recursive: true });
    await writeFile(at(path), content);
    return at(path);
  };
  const [origin, registry] = [
    await startOrigin(t, { sign: (bytes) => gpg.sign(signer, bytes) }),
    await startRegistry(t),
  ];
  const aci = await origin.publish({ name: aciName, version: '1', size: 5_000, compress: 'gzip' });
  const images = await Promise.all(
    kinds.map(async (kind) => registry.putImage(`team/${kind}`, '1', { layers: [await layerOf({ file: kind })] })),
  );
  const [simple, byKey, byIdentity] = images;
  if (!simple || !byKey || !byIdentity) throw new Error('three images');
  const names = kinds.map((kind) => `${registry.host}/team/${kind}:1`);

  const statement = statementOf({ digest: simple.digest, reference: names[0] ?? '' });
  const place = `sigs/team/simple@${simple.digest.replace(':', '=')}/signature-1`;
  await put(place, await signMessage(gpg, signer, statement));
  await put(
    'config/containers/registries.d/a.yaml',
    `docker:\n  ${registry.host}:\n    lookaside: file://${at('sigs')}\n`,
  );
  const payload = payloadOf({ digest: byKey.digest, reference: `${registry.host}/team/cosign` });
  putSignatures(registry, 'team/cosign', byKey, [{ payload, signature: cosign.sign(payload) }]);
  const bundle = await authorities.bundle({ digest: byIdentity.digest });
  const manifests = [putBundle(registry, 'team/sigstore', byIdentity, Buffer.from(JSON.stringify(bundle)))];
  serveReferrers(registry, 'team/sigstore', { to: byIdentity, manifests });

  const environment = {
    ...environmentIn(directory),
    XDG_CONFIG_HOME: at('config'),
    LONGSHORE_USER_CONFIG: at('user'),
    LONGSHORE_TRUSTED_ROOT: await put('root.json', authorities.rootFile),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
    LONGSHORE_KEEP_ARCHIVES: '1',
    LONGSHORE_INSECURE_OPTIONS: 'http',
  };
  const longshore = (dir: string, ...args: readonly string[]) =>
    runHere([...args], { ...environment, LONGSHORE_DIR: at(dir) });
  const done = async (dir: string, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await longshore(dir, ...args);
    t.is(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const keys = [await put('key.asc', await gpg.certificate(signer)), await put('cosign.pub', cosign.pem)];
  for (const trusted of [
    ['--prefix=example.com', keys[0] ?? '', '--skip-fingerprint-review'],
    [`--prefix=${registry.host}/team/simple`, keys[0] ?? '', '--skip-fingerprint-review'],
    [`--prefix=${registry.host}/team/cosign`, keys[1] ?? '', '--skip-fingerprint-review'],
    [`--prefix=${registry.host}/team/sigstore`, '--identity', workflow, '--issuer', provider],
  ])
    await done('here', 'trust', ...trusted);

  await done('here', 'fetch', aci.url, ...names.map((name) => `docker://${name}`));
  await done('here', 'image', 'export', '--all', '--format=bundle', at('bundle.tar'));
  return { at, put, longshore, done, origin, registry, aci, names };
}

test('images that were signed in four ways are judged again on the far side of an air gap, from what came with them', async (t) => {
  const { at, longshore, done, origin, registry, aci, names } = await carried(t);
  const judge = async (dir: string) => fits(t, await done(dir, 'image', 'verify', '--signatures', '--output=json'));
  t.like(await judge('here'), { checked: 4, refused: [], unproven: [] });
  await origin.close();
  const asked = registry.requests.length;

  const { totals } = JSON.parse(await done('there', 'image', 'import', '--output=json', at('bundle.tar'))) as {
    totals: object;
  };
  t.like(totals, { images: 4, fetched: 4, failed: 0 });
  t.like(await judge('there'), { checked: 4, refused: [], unproven: [] });
  for (const name of [aciName, ...names]) {
    const proofs = async (dir: string): Promise<unknown> =>
      (JSON.parse(await done(dir, 'image', 'show', '--output=json', name)) as { proofs: unknown }).proofs;
    t.deepEqual(await proofs('there'), await proofs('here'), name);
  }
  t.regex(await done('there', 'image', 'verify'), /^checked 1 image, 1 archive, and \d+ blobs of registry images/);
  const archive = at(`there/blobs/sha256/${digestOf(aci.bytes).slice(7)}`);
  t.true((await readFile(archive)).equals(aci.bytes), 'the archive as it was transferred, which can be carried on');
  t.regex(
    await done('there', 'image', 'show', aciName),
    new RegExp(`^Archive: +${digestOf(aci.bytes)} .*, gzip$`, 'm'),
  );
  await done('there', 'image', 'export', '--all', '--format=bundle', at('again.tar'));
  t.true((await readFile(at('again.tar'))).equals(await readFile(at('bundle.tar'))), 'and so is the same bundle');
  await done('there', 'image', 'rm', aciName);
  t.false(existsSync(archive));

  const { code, stderr } = await longshore(
    'nobody',
    'image',
    'import',
    `--user-config=${at('none')}`,
    `--local-config=${at('none')}`,
    at('bundle.tar'),
  );
  t.is(code, 5, stderr);
  t.is([...stderr.matchAll(/KEY_UNKNOWN/g)].length >= 4, true, stderr);
  t.is(registry.requests.length, asked, 'nobody was asked');
});

test('one altered byte of a bundle is refused, with the image named, and the others come', async (t) => {
  const { at, put, longshore, done, aci, names } = await carried(t);
  const whole = await readFile(at('bundle.tar'));
  const files = await untar(whole);
  type Document = Record<
    'archives' | 'images',
    readonly { reference?: string; name?: string; proofs: readonly { digest: string }[] }[]
  >;
  const { archives, images } = JSON.parse(String(files.get('longshore/bundle.json'))) as Document;
  const altered: (readonly [image: string, path: string])[] = [...archives, ...images].flatMap(
    ({ reference, name = reference ?? '', proofs }) =>
      proofs.map(({ digest }) => [name, `longshore/proofs/sha256/${digest.slice(7)}`] as const),
  );
  altered.push([aciName, `blobs/sha256/${digestOf(aci.bytes).slice(7)}`]);
  const [first = ''] = names;
  const shown = JSON.parse(await done('here', 'image', 'show', '--output=json', first)) as {
    imageID: string;
    config: string;
    layers: readonly { digest: string }[];
  };
  for (const digest of [shown.imageID, shown.config, ...shown.layers.map((layer) => layer.digest)])
    altered.push([first, `blobs/sha256/${digest.slice(7)}`]);
  t.is(altered.length, 4 + 1 + 3);

  for (const [turn, [image, path]] of altered.entries()) {
    const content = Buffer.from(files.get(path) ?? t.fail(path));
    const bytes = Buffer.from(whole);
    const middle = bytes.indexOf(content) + (content.length >> 1);
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    const { code, stderr } = await longshore(`far${turn}`, 'image', 'import', await put('altered.tar', bytes));
    t.not(code, 0, path);
    t.true(stderr.includes(image), `${path}: ${stderr}`);
    const { images: listed } = JSON.parse(await done(`far${turn}`, 'image', 'list', '--output=json')) as {
      images: readonly { name: string; reference?: string; verified: unknown }[];
    };
    t.false(
      listed.some(({ name, reference }) => (reference ?? name) === image),
      path,
    );
    t.true(listed.every(({ verified }) => Array.isArray(verified)));
    t.is(listed.length, 3, path);
  }
});
