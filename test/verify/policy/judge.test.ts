import test from 'ava';

import { ImageError } from '../../../src/errors.ts';
import { parseRegistryReference } from '../../../src/image/registry-reference.ts';
import { openPool, type Pool } from '../../../src/pool/pool.ts';
import { createPolicyJudge } from '../../../src/verify/policy/judge.ts';
import { createCosignKey } from '../../helpers/cosign.ts';

test('keys of a policy that could not be read, since a thread died, are read again for the next image', async (t) => {
  await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
  let isLost = true;
  const run = ((...request: Parameters<Pool['run']>) => {
    if (!isLost) return pool.run(...request);
    isLost = false;
    return Promise.reject(new ImageError('INTERNAL', 'a thread ended', { what: 'a thread' }));
  }) as Pool['run'];
  const key = { bytes: Buffer.from(createCosignKey().pem), location: 'cosign.pub' };
  const signed = {
    ...({ type: 'sigstoreSigned', logKeys: [], identity: { type: 'matchRepository' } } as const),
    keys: [key],
  };
  const policy = { path: 'policy.json', sha256: '0'.repeat(64), default: [signed], docker: new Map() };
  const asked: number[] = [];
  const judge = createPolicyJudge({
    ...{ policy, pool: { run } },
    verify: (_name, _found, { keys }) => {
      asked.push(keys.length);
      return Promise.reject(new ImageError('SIGNATURE_INVALID', 'not judged here', {}));
    },
  });
  const reference = parseRegistryReference('docker://registry.example.com/app:1');
  const verify = async () => {
    const needs = judge.needsOf(reference);
    if (!('demands' in needs)) throw new Error('the policy demands nothing');
    await needs.demands[0]?.verify({ evidence: [], messageBytes: 1, reference, digests: [] });
  };

  await t.throwsAsync(verify(), { code: 'INTERNAL' });
  await t.throwsAsync(verify(), { code: 'SIGNATURE_INVALID' });
  t.deepEqual(asked, [1]);
});
