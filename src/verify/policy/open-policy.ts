import { createHash } from 'node:crypto';

import { configInvalid, readConfigFile } from '../../image/config-file.ts';
import { defaultLimits } from '../../image/limits.ts';
import { show } from '../../image/show.ts';
import { debugLog } from '../../system/debug.ts';
import { describeErrno, errnoOf } from '../../system/errno.ts';
import { readFound } from '../../system/files.ts';
import type { KeySource, OpenPolicy, PolicyKey, PolicyRules, Requirement } from './policy.ts';

const debug = debugLog('verify');

/**
 * Reads a policy and all key files that it names, so that nothing is tried with a policy that cannot be followed.
 *
 * @throws CONFIG_INVALID with the path and the place in it
 */
export async function openPolicy(path: string): Promise<OpenPolicy> {
  const bytes = await readConfigFile(path, { isNamed: true });
  const { default: others, docker } = await parse(path, bytes);
  const read = new Map<string, Promise<Uint8Array>>();
  const open = (all: readonly Requirement[]) => Promise.all(all.map((one) => openRequirement(path, one, read)));
  const scopes: [string, readonly Requirement<PolicyKey>[]][] = [];
  for (const [scope, all] of docker) scopes.push([scope, await open(all)]);
  debug(() => `policy ${show(path, 4096)}: ${docker.size} scopes of docker, ${read.size} key files`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { path, sha256, default: await open(others), docker: new Map(scopes) };
}

/** Reads what a policy says, without its key files. @throws CONFIG_INVALID */
export async function readPolicy(path: string): Promise<PolicyRules> {
  return parse(path, await readConfigFile(path));
}

async function parse(path: string, bytes: Uint8Array): Promise<PolicyRules> {
  const { parsePolicy } = await import('./parse-policy.ts'); // loads zod, which is slow
  return parsePolicy(path, bytes);
}

async function openRequirement(
  policy: string,
  requirement: Requirement,
  read: Map<string, Promise<Uint8Array>>,
): Promise<Requirement<PolicyKey>> {
  if (!('keys' in requirement)) return requirement;
  const { certified, ...signed } = requirement;
  const open = (sources: readonly KeySource[]) => Promise.all(sources.map((one) => openKey(policy, one, read)));
  return {
    ...signed,
    keys: await open(signed.keys),
    logKeys: await open(signed.logKeys),
    ...(certified && {
      certified: { ...certified, roots: await open(certified.roots), between: await open(certified.between) },
    }),
  };
}

async function openKey(policy: string, source: KeySource, read: Map<string, Promise<Uint8Array>>): Promise<PolicyKey> {
  if ('data' in source) return { bytes: source.data, location: `${source.place} of ${policy}` };
  const reading = read.get(source.path) ?? readKey(policy, source);
  read.set(source.path, reading);
  return { bytes: await reading, location: source.path };
}

async function readKey(
  policy: string,
  { path, place }: Extract<KeySource, { readonly path: string }>,
): Promise<Uint8Array> {
  const name = show(path, 1000);
  const bytes = await readFound(path, defaultLimits.key).catch((error: unknown) => {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    throw configInvalid(policy, `${place}: the key file "${name}" cannot be read: ${describeErrno(errno).what}`, error);
  });
  if (bytes.length === 0) throw configInvalid(policy, `${place}: the key file "${name}" is empty`);
  if (bytes.length <= defaultLimits.key) return bytes;
  throw configInvalid(policy, `${place}: the key file "${name}" is larger than ${defaultLimits.key} bytes`);
}
