import { ImageError } from '../errors.ts';
import { acIdentifierProblem } from './ac-identifier.ts';
import { show } from './show.ts';

/** Label name → value, as in a manifest or a request. The order of insertion is kept. */
export type Labels = ReadonlyMap<string, string>;

export type LabelPair = { readonly name: string; readonly value: string };
/** `member` is the part of the pair at `index` that is wrong. */
type LabelFault = LabelPair & {
  readonly index: number;
  readonly member: 'name' | 'value';
  readonly problem: string;
};

/**
 * All faults of a label list: invalid, reserved or repeated names, and an os or arch that appc does not define. @see
 * appc 0.8.11, schema/types/labels.go
 */
export function labelFaults(list: readonly LabelPair[]): readonly LabelFault[] {
  const faults: LabelFault[] = [];
  const positions = new Map<string, number>();
  for (const [index, { name, value }] of list.entries()) {
    const problem = positions.has(name) ? 'is there twice' : nameProblem(name);
    if (problem !== undefined) faults.push({ index, member: 'name', name, value, problem });
    else positions.set(name, index);
  }
  const valueOf = (name: string) => list[positions.get(name) ?? -1]?.value;
  const bad = osArchProblem(valueOf('os'), valueOf('arch'));
  if (bad) {
    const { label: name, value, problem } = bad;
    faults.push({ index: positions.get(name) ?? 0, member: 'value', name, value, problem });
  }
  return faults;
}

function nameProblem(name: string): string | undefined {
  return name === 'name' ? 'is reserved' : acIdentifierProblem(name);
}

/** `name=value` pairs, sorted by name, separated by commas. For display only, since a value may contain a comma. */
export function formatLabels(labels: Labels): string {
  return sortLabels(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** The pairs sorted by the UTF-16 units of the names, which does not depend on the locale. */
export function sortLabels(labels: Labels): readonly (readonly [string, string])[] {
  return [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * True when `found` has every requested label with the same value; it may have more. @see appc 0.8.11, spec/aci.md,
 * Dependency Matching
 */
export function matchLabels(requested: Labels, found: Labels): boolean {
  for (const [name, value] of requested) if (found.get(name) !== value) return false;
  return true;
}

/**
 * The platform of the running Node: process.platform and process.arch; `armVersion` is
 * process.config.variables.arm_version.
 */
export type NodePlatform = { readonly platform: string; readonly arch: string; readonly armVersion?: string };

/**
 * Adds os and arch, where missing, with the names that appc has for the running platform.
 *
 * @throws LABEL_INVALID when appc does not define the resulting pair.
 * @see appc 0.8.11, schema/types/labels.go
 */
export function defaultLabels(labels: Labels, node: NodePlatform): Labels {
  const os = labels.get('os') ?? node.platform;
  const arch = labels.get('arch') ?? appcArch(os, node);
  const bad = osArchProblem(os, arch);
  if (bad) {
    const { label, value, problem } = bad;
    const whose = labels.has(label) ? '' : ', taken from this machine,';
    throw new ImageError('LABEL_INVALID', `the value "${show(value)}" of label ${label}${whose} ${problem}`, {
      label,
      value: show(value),
    });
  }
  return new Map([...labels, ['os', os], ['arch', arch]]);
}

function appcArch(os: string, { arch, armVersion }: NodePlatform): string {
  switch (arch) {
    case 'x64':
      return os === 'darwin' ? 'x86_64' : 'amd64';
    case 'ia32':
      return 'i386';
    case 'arm64':
      return 'aarch64';
    case 'arm':
      if (os !== 'linux') return 'arm';
      return armVersion === '6' ? 'armv6l' : 'armv7l';
    case 'ppc64':
      return 'ppc64le'; // Node runs on little-endian POWER only
    default:
      return arch;
  }
}

/** The architectures of each operating system. @see appc 0.8.11, Labels */
export const architectures: ReadonlyMap<string, readonly string[]> = new Map([
  ['darwin', ['x86_64', 'i386']],
  ['freebsd', ['amd64', 'i386', 'arm']],
  ['linux', ['amd64', 'i386', 'aarch64', 'aarch64_be', 'armv6l', 'armv7l', 'armv7b', 'ppc64', 'ppc64le', 's390x']],
]);

type OsArchProblem = { readonly label: 'os' | 'arch'; readonly value: string; readonly problem: string };

/**
 * What is wrong with the two labels. Without `os` nothing is checked. @see appc 0.8.11, schema/types/labels.go,
 * IsValidOSArch
 */
function osArchProblem(os: string | undefined, arch: string | undefined): OsArchProblem | undefined {
  if (os === undefined) return undefined;
  const known = architectures.get(os);
  if (known === undefined)
    return { label: 'os', value: os, problem: `must be one of ${[...architectures.keys()].join(', ')}` };
  if (arch === undefined || known.includes(arch)) return undefined;
  return { label: 'arch', value: arch, problem: `must be one of ${known.join(', ')} for ${os}` };
}
