import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { openCommand } from '../helpers/command.ts';
import { createCosignKey, payloadOf, putSignatures } from '../helpers/cosign.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';

const [alice, bob] = [createCosignKey(), createCosignKey()];

/** The command, and a registry with `team/app:1`, which claims to be another image. */
async function open(t: ExecutionContext) {
  const { at, put, longshore: run } = await openCommand(t);
  const registry = await startRegistry(t);
  const { host } = registry;
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const sign = (...keys: readonly (typeof alice)[]) => {
    const payload = payloadOf({ digest: image.digest, reference: 'example.com/origin/app' });
    const signatures = keys.map((key) => ({ payload, signature: key.sign(payload) }));
    putSignatures(registry, 'team/app', image, signatures);
  };
  sign(alice);
  const longshore = (...args: readonly string[]) => run(args);
  const signedIdentity = { type: 'exactRepository', dockerRepository: 'example.com/origin/app' };
  const by = (...keys: readonly (typeof alice)[]) =>
    keys.map(({ pem }) => ({ type: 'sigstoreSigned', keyData: pem.toString('base64'), signedIdentity }));
  const policy = (name: string, requirements: readonly object[]) =>
    put(name, { default: [{ type: 'reject' }], transports: { docker: { [host]: requirements } } });
  return { at, host, image, sign, longshore, by, policy };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('a statement names the policy that has decided, its scope, and who has signed by it', async (t) => {
  const { at, host, image, longshore, by, policy, sign } = await open(t);
  const reference = `docker://${host}/team/app:1`;
  const attest = async (file: string, ...more: readonly string[]) => {
    const { code } = await longshore('fetch', '--policy', file, '--attest', at('out.jsonl'), ...more);
    const [line = '{}'] = (await readFile(at('out.jsonl'), 'utf8')).split('\n');
    const statement: unknown = line === '' ? {} : JSON.parse(line);
    return { code, ...(statement as { readonly predicate?: Readonly<Record<string, unknown>> }) };
  };
  const file = await policy('a.json', by(alice));
  const named = {
    uri: `file://${file}`,
    digest: { sha256: sha256(await readFile(file)) },
    annotations: { scope: host },
  };
  const passed = (...signers: readonly string[]) => ({
    subject: [{ digest: { sha256: image.digest.slice('sha256:'.length) } }],
    predicate: {
      ...{ policy: named, verificationResult: 'PASSED', verifiedLevels: ['SLSA_BUILD_LEVEL_0', 'LONGSHORE_SIGNED'] },
      'longshore:signedBy': signers.map((fingerprint) => ({ fingerprint, trustedFor: [host] })),
    },
  });
  t.like(await attest(file, reference), passed(alice.fingerprint));
  t.like(await attest(file, reference, '--store-only'), passed(alice.fingerprint));
  t.like(await attest(file, image.digest), passed(alice.fingerprint));

  const other = await policy('b.json', by(bob));
  const refused = await attest(other, `docker://${host}/team/app@${image.digest}`);
  t.like(refused, {
    code: 5,
    predicate: {
      policy: { uri: `file://${other}`, annotations: { scope: host } },
      verificationResult: 'FAILED',
      verifiedLevels: ['FAILED'],
    },
  });
  t.regex(JSON.stringify(refused), /"longshore:reason":"POLICY_REFUSED: the policy /);
  const lax = await attest(await policy('c.json', [{ type: 'insecureAcceptAnything' }]), reference);
  t.like(lax, { code: 0, predicate: { verificationResult: 'FAILED' } });
  t.regex(JSON.stringify(lax), /not verified: the policy accepts it unsigned/);

  sign(alice, bob);
  const both = await policy('a.json', by(alice, bob));
  const again = await attest(both, reference, '--dir', at('new'));
  const signers = [alice, bob].map(({ fingerprint }) => ({ fingerprint, trustedFor: [host] }));
  t.deepEqual(again.predicate?.['longshore:signedBy'], signers);
});

test('a lock holds who has signed by the policy, and a frozen one refuses another signer; a plan says who it is', async (t) => {
  const { at, host, image, longshore, by, policy, sign } = await open(t);
  const reference = `docker://${host}/team/app:1`;
  const fetch = async (requirements: readonly object[], ...more: readonly string[]) =>
    longshore('fetch', reference, '--policy', await policy('policy.json', requirements), '--lock', at('lock'), ...more);
  const locked = await fetch(by(alice), '--output=json');
  t.is(locked.code, 0, locked.stderr);
  const file = await policy('policy.json', by(alice));
  for (const asked of [[reference, '--lock', at('lock'), '--frozen'], [image.digest]]) {
    const { stdout, stderr } = await longshore('plan', ...asked, '--policy', file, '--output=json');
    t.like(JSON.parse(stdout), { images: [{ status: 'present', signedBy: [alice.fingerprint] }] }, stderr);
  }
  t.like(JSON.parse(locked.stdout), { images: [{ signedBy: [alice.fingerprint] }] });
  t.true((await readFile(at('lock'), 'utf8')).includes(alice.fingerprint));
  for (const more of [[], ['--store-only'], ['--dir', at('new')]]) {
    const { code, stderr } = await fetch(by(alice), '--frozen', ...more);
    t.is(code, 0, stderr);
  }
  sign(bob);
  for (const more of [[], ['--dir', at('newer')]]) {
    const { code, stderr } = await fetch(by(bob), '--frozen', ...more);
    t.is(code, 10, stderr);
    t.regex(stderr, /LOCK_MISMATCH: .*it is signed by [0-9a-f]{64}, and not by/);
  }
  sign(alice, bob);
  t.is((await fetch(by(bob, alice), '--frozen', '--dir', at('newest'))).code, 0);
});
