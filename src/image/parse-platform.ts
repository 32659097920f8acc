import { ImageError } from '../errors.ts';
import type { GoPlatform } from './platform.ts';
import { show } from './show.ts';

/** What others call an architecture, as Go and registries do. */
const architectures: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  i386: ['386'],
  i686: ['386'],
  armhf: ['arm', 'v7'],
  armv7l: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  armv6l: ['arm', 'v6'],
};

const form = /^([a-z0-9]+)\/([a-z0-9_-]+)(?:\/([a-z0-9.]+))?$/;

/** `os/arch[/variant]`, as `linux/arm64` or `linux/arm/v7`. @throws USAGE */
export function parsePlatform(text: string, option = 'platform'): GoPlatform {
  const [, os, named, given] = form.exec(text.toLowerCase()) ?? [];
  if (os === undefined || named === undefined) {
    const message = `${option}: want a platform such as linux/arm64 or linux/arm/v7, got "${show(text)}"`;
    throw new ImageError('USAGE', message, { option });
  }
  const [architecture, implied] = (Object.hasOwn(architectures, named) && architectures[named]) || [named];
  const variant = given ?? implied;
  return { os: os === 'macos' ? 'darwin' : os, architecture, ...(variant !== undefined && { variant }) };
}
