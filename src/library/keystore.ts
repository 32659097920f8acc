import { closedError, ImageError } from '../errors.ts';
import { openPool } from '../pool/pool.ts';
import type { Keystore as EngineKeystore } from '../verify/keystore.ts';
import { listTrustedKeys } from '../verify/list-trusted-keys.ts';
import { openKeystore as openEngineKeystore } from '../verify/open-keystore.ts';
import { openPolicy as openEnginePolicy } from '../verify/policy/open-policy.ts';
import type { OpenPolicy } from '../verify/policy/policy.ts';
import { checkCall } from './check-calls.ts';
import { checkKeystoreOptions, checkPolicyOptions } from './check-options.ts';
import type { Keystore, KeystoreOptions, Policy, PolicyOptions, TrustedKey, TrustOptions } from './types.ts';
import { workerFileOf } from './worker-file.ts';

const engines = new WeakMap<Keystore, EngineKeystore>();

/** @throws USAGE for an object that `openKeystore` has not returned. */
export function engineKeystoreOf(keystore: Keystore): EngineKeystore {
  const engine = engines.get(keystore);
  if (engine) return engine;
  throw new ImageError('USAGE', 'keystore: want what openKeystore returns', { option: 'keystore' });
}

/** Opens the trusted keys of some directories. Nothing is read before it is needed. @throws USAGE */
export async function openKeystore(options: KeystoreOptions): Promise<Keystore> {
  const { dirs, trustedRoot, onWarning, workerUrl } = checkKeystoreOptions(options);
  const threads = { workers: 1, sessionsPerWorker: 1, filename: workerFileOf(workerUrl) };
  const engine = await openEngineKeystore({ dirs, trustedRoot, ...(onWarning && { onWarning }) });
  let isClosed = false;
  const close = (): Promise<void> => {
    isClosed = true;
    return engine.close();
  };
  const keystore: Keystore = {
    dirs,
    async trust(key, options) {
      if (isClosed) throw closedError('keystore'); // before the key is judged
      const { prefix, layer } = placeOf(dirs, options);
      const certificate = typeof key === 'string' ? Buffer.from(key) : key;
      if (!(certificate instanceof Uint8Array)) {
        throw new ImageError('USAGE', 'key: want the content of a key file', { option: 'key' });
      }
      const { trustKeys } = await import('../verify/trust.ts');
      await using pool = openPool(threads);
      const request = { certificate, location: 'the key', layer, ...(prefix !== undefined && { prefix }) };
      const trusted: TrustedKey[] = [];
      for await (const outcome of trustKeys({ keystore: engine, pool }, request)) {
        if (outcome.kind !== 'trusted') continue;
        const { fingerprint, identities } = outcome.key;
        trusted.push({ fingerprint, identities, path: outcome.path });
      }
      return trusted;
    },
    async list() {
      await using pool = openPool(threads);
      return await listTrustedKeys({ keystore: engine, pool }, onWarning ?? (() => undefined));
    },
    async distrust(fingerprint, options) {
      if (typeof fingerprint !== 'string') {
        throw new ImageError('USAGE', 'fingerprint: want a string', { option: 'fingerprint' });
      }
      const { prefix, layer } = placeOf(dirs, options);
      return engine.remove({ fingerprint, layer, ...(prefix !== undefined && { prefix }) });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  engines.set(keystore, engine);
  return keystore;
}

const policies = new WeakMap<Policy, OpenPolicy>();

/** @throws USAGE for an object that `openPolicy` has not returned. */
export function enginePolicyOf(policy: Policy): OpenPolicy {
  const engine = policies.get(policy);
  if (engine) return engine;
  throw new ImageError('USAGE', 'policy: want what openPolicy returns', { option: 'policy' });
}

/**
 * Reads a policy for images of registries, with the key files that it names.
 *
 * @throws CONFIG_INVALID for one that cannot be read, or has something in it that is not known; USAGE
 * @see containers-policy.json(5)
 */
export async function openPolicy(options: PolicyOptions): Promise<Policy> {
  const { file } = checkPolicyOptions(options);
  const policy: Policy = Object.freeze({ file });
  policies.set(policy, await openEnginePolicy(file));
  return policy;
}

function placeOf(
  dirs: readonly string[],
  options: TrustOptions,
): { readonly prefix: string | undefined; readonly layer: number } {
  const { prefix, root = false, dir } = checkCall('trust', options);
  if ((prefix === undefined) !== root) {
    throw new ImageError('USAGE', 'prefix: want either a prefix or root: true', { option: 'prefix' });
  }
  const layer = dir === undefined ? dirs.length - 1 : dirs.indexOf(dir);
  if (layer >= 0) return { prefix, layer };
  throw new ImageError('USAGE', 'dir: want one of the directories of the keystore', { option: 'dir' });
}
