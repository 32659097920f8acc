import { type OptionSpec, unknownWord } from '../../options/option.ts';

/** The columns of `image list`. */
export const imageFields = [
  'id',
  'name',
  'importtime',
  'lastused',
  'size',
  'latest',
  'verified',
  'source',
  'digest',
] as const;
export type ImageField = (typeof imageFields)[number];

/** Options of the subcommands of `image`, other than those shared with other commands. */
export const imageOptions = [
  {
    name: 'fields',
    group: 'Output',
    kind: 'value',
    placeholder: 'LIST',
    words: imageFields,
    help: `Columns: ${imageFields.join(', ')}`,
    commands: ['image list'],
  },
  {
    name: 'sort',
    group: 'Output',
    kind: 'value',
    choices: ['importtime', 'lastused', 'name', 'size'],
    help: 'What to sort by, default importtime',
    commands: ['image list'],
  },
  {
    name: 'order',
    group: 'Output',
    kind: 'value',
    choices: ['asc', 'desc'],
    help: 'Direction, default asc',
    commands: ['image list'],
  },
  {
    name: 'no-legend',
    group: 'Output',
    kind: 'flag',
    help: 'Leave the titles of the columns out',
    commands: ['image list'],
  },
  {
    name: 'pretty-print',
    group: 'Output',
    kind: 'flag',
    help: 'Indent the manifest',
    commands: ['image cat-manifest'],
  },
  {
    name: 'format',
    group: 'Output',
    kind: 'value',
    choices: ['aci', 'oci', 'docker', 'oci-archive', 'docker-archive', 'bundle'],
    help: "What to write: aci, oci or docker of one image, default aci, or oci of a registry's; of many oci-archive, docker-archive or bundle, default bundle if archives (ACIs) are among them",
    commands: ['image export'],
  },
  {
    name: 'from-file',
    group: 'Store',
    short: 'f',
    kind: 'values',
    placeholder: '[TYPE:]LIST',
    help: 'Export what LIST names, and what that needs, as far as the store has it',
    commands: ['image export'],
  },
  { name: 'all', group: 'Store', kind: 'flag', help: 'Export all images of the store', commands: ['image export'] },
  {
    name: 'compress',
    group: 'Output',
    kind: 'value',
    choices: ['gzip', 'zstd'],
    help: 'Compress the archive or bundle as a whole',
    commands: ['image export'],
  },
  {
    name: 'without',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Leave out of a bundle what the receiver has: its image list --output=json, or the lock file of its fetch',
    environment: false, // it belongs to the receiver
    commands: ['image export'],
  },
  {
    name: 'platform',
    group: 'What to fetch',
    kind: 'values',
    placeholder: 'OS/ARCH[/VARIANT]|all',
    help: 'Bring images for these platforms (also a,b); default all that are there',
    commands: ['image import'],
  },
  {
    name: 'as',
    group: 'Store',
    kind: 'value',
    placeholder: 'NAME',
    help: 'Name of images for which the archive has only a tag, or nothing, such as example.com/app',
    environment: false, // it belongs to the archive
    commands: ['image import'],
  },
  {
    name: 'overwrite',
    group: 'Output',
    kind: 'flag',
    help: 'Replace what is there',
    commands: ['image export', 'image extract', 'image render'],
  },
  {
    name: 'rootfs-only',
    group: 'Output',
    kind: 'flag',
    help: 'Put what is below rootfs directly into DIR, without the manifest',
    commands: ['image extract', 'image render'],
  },
  {
    name: 'grace-period',
    group: 'Store',
    kind: 'value',
    placeholder: 'TIME',
    help: 'Remove images not used for this long as well, such as 720h',
    commands: ['image gc'],
  },
  {
    name: 'partials-older-than',
    group: 'Store',
    kind: 'value',
    placeholder: 'TIME',
    help: 'Age at which a partial download goes, default 24h',
    commands: ['image gc'],
  },
  {
    name: 'dry-run',
    group: 'Store',
    kind: 'flag',
    help: 'Say what would go, and leave it',
    commands: ['image gc', 'image prune'],
  },
  { name: 'yes', group: 'Store', kind: 'flag', help: 'Remove also if nothing stays', commands: ['image prune'] },
  {
    name: 'from-file',
    group: 'Store',
    short: 'f',
    kind: 'values',
    placeholder: '[TYPE:]LIST',
    help: 'Keep what LIST names, and what that needs',
    commands: ['image prune'],
  },
  {
    name: 'lock',
    group: 'Store',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Keep the images that the lock file has',
    environment: false, // it would keep what nobody asked for
    commands: ['image prune'],
  },
  {
    name: 'names',
    group: 'Store',
    kind: 'value',
    choices: ['discovery', 'registry'],
    help: 'What a name without a scheme is, as for fetch',
    commands: ['image export', 'image prune'],
  },
  {
    name: 'repair',
    group: 'Store',
    kind: 'flag',
    help: 'Take damaged images off the list and sweep what nothing needs',
    commands: ['image verify'],
  },
  {
    name: 'signatures',
    group: 'Trust',
    kind: 'flag',
    help: 'Judge what proved who signed the images again, by the keys trusted now, and say what would be refused; no blob is read',
    environment: false, // the command would do something else
    commands: ['image verify'],
  },
] as const satisfies readonly OptionSpec[];

/** A parser that accepts one of the given words. @throws USAGE */
export function oneOf<const T extends string>(words: readonly T[]): (text: string, option: string) => T {
  return (text, option) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw unknownWord(text, words, option);
    return found;
  };
}
