import { join, resolve } from 'node:path';

import {
  type AppInput,
  hasCode,
  type ImageError,
  type Insecure,
  isOfRegistry,
  openPolicy,
  parseNamedReference,
  type Policy,
  readPolicy,
  requirementsOf,
  show,
} from '../../internal.ts';
import { isThere } from '../../system/files.ts';
import { baseDirectory } from '../config/directories.ts';
import type { Config } from '../config/read-config.ts';
import type { CommandLine } from './command-line.ts';
import type { Environment } from './environment.ts';
import { usageError } from './option.ts';
import { parseInsecureOptions } from './values.ts';

/** How images are checked: by a policy, if one is used, and which checks are lifted. */
export type Checks = {
  readonly policy: Policy | undefined;
  readonly insecure: Insecure;
  readonly warnings: readonly string[];
};

/**
 * The policy of the command line, the environment or the configuration, and what is left of `--insecure-options` beside it: only the
 * command line can set a policy aside, and not one that it names itself.
 *
 * @throws USAGE; CONFIG_INVALID for a policy that cannot be followed
 */
export async function checksOf(line: CommandLine, config: Pick<Config, 'policy'>): Promise<Checks> {
  const lifted = line.values('insecure-options').at(-1);
  const insecure = lifted ? parseInsecureOptions(lifted.text, lifted.option) : {};
  const given = line.values('policy').at(-1);
  const file = given ? resolve(given.text) : config.policy?.file;
  if (file === undefined) return { policy: undefined, insecure, warnings: [] };
  if (!insecure.image) return { policy: await openPolicy(file), insecure, warnings: [] };
  const shown = show(file, 1000);
  if (lifted?.option === '--insecure-options') {
    if (given?.option === '--policy')
      throw usageError('it says which images are accepted, and --insecure-options=image that all are', '--policy');
    const by = given?.option ?? show(config.policy?.by ?? '', 1000);
    return {
      policy: undefined,
      insecure,
      warnings: [`the policy ${shown} of ${by} is set aside by --insecure-options=image`],
    };
  }
  const warning = `${lifted?.option}: image does not count beside the policy ${shown}, which only --insecure-options=image on the command line sets aside`;
  return { policy: await openPolicy(file), insecure: { ...insecure, image: false }, warnings: [warning] };
}

/** What goes on with the advice about a refused image; undefined if there is nothing to say. */
export type PolicyHint = (
  outcome: { readonly reference: string; readonly error?: ImageError | undefined },
  request: AppInput | undefined,
) => string | undefined;

/**
 * Looks into the policy of podman and skopeo on this machine, which is used only where it is asked for. It is a remedy only where a
 * signature would satisfy it.
 */
export async function policyHint(environment: Environment): Promise<PolicyHint> {
  const own = join(baseDirectory('XDG_CONFIG_HOME', '.config', environment), 'containers/policy.json');
  const file = (await isThere(own)) ? own : '/etc/containers/policy.json';
  const policy = await readPolicy(file).catch(() => undefined); // it is not there, or not of use
  if (!policy) return () => undefined;
  return ({ reference, error }, request) => {
    if (!error || !isUnsigned(error) || !request || !isOfRegistry(request)) return undefined;
    const named = parseNamedReference(reference.replace(/^docker:\/\//, ''));
    if (!named) return undefined;
    const { requirements } = requirementsOf(policy, { ...named, ...(!named.digest && { tag: named.tag ?? 'latest' }) });
    if (requirements.some(({ type }) => type === 'reject')) return undefined;
    if (requirements.some(({ type }) => type !== 'insecureAcceptAnything'))
      return `, or let ${show(file, 1000)} say who has to have signed it, with --policy`;
    return `; ${show(file, 1000)} accepts it unsigned: to use that with --policy is the same as --insecure-options=image`;
  };
}

/** Whether an image of a registry was refused since nobody who is trusted has signed it. */
function isUnsigned(error: ImageError): boolean {
  if (hasCode(error, 'INSECURE_REFUSED')) return error.details.what === 'an image of a registry, unverified';
  return hasCode(error, 'SIGNATURE_MISSING') || hasCode(error, 'KEY_UNKNOWN');
}
