import { ImageError } from '../errors.ts';
import { osArchProblem } from './os-arch.ts';
import type { Labels } from './labels.ts';
import { show } from './show.ts';

/** Of the running Node: process.platform and process.arch; `armVersion` is process.config.variables.arm_version. */
export type NodePlatform = { readonly platform: string; readonly arch: string; readonly armVersion?: string };

/**
 * The labels with os and arch filled in, each only where it is missing, as appc names them for the running platform.
 *
 * @throws LABEL_INVALID when the pair that results is none of appc's.
 * @see appc 4.2, 4.3
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
