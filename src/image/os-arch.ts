/** The architectures of each operating system. @see appc 0.8.11, Labels */
export const architectures: ReadonlyMap<string, readonly string[]> = new Map([
  ['darwin', ['x86_64', 'i386']],
  ['freebsd', ['amd64', 'i386', 'arm']],
  ['linux', ['amd64', 'i386', 'aarch64', 'aarch64_be', 'armv6l', 'armv7l', 'armv7b', 'ppc64', 'ppc64le', 's390x']],
]);

export type OsArchProblem = { readonly label: 'os' | 'arch'; readonly value: string; readonly problem: string };

/** What is wrong with a pair of labels. Without `os` nothing is checked. @see appc 4.2 */
export function osArchProblem(os: string | undefined, arch: string | undefined): OsArchProblem | undefined {
  if (os === undefined) return undefined;
  const known = architectures.get(os);
  if (known === undefined)
    return { label: 'os', value: os, problem: `must be one of ${[...architectures.keys()].join(', ')}` };
  if (arch === undefined || known.includes(arch)) return undefined;
  return { label: 'arch', value: arch, problem: `must be one of ${known.join(', ')} for ${os}` };
}
