import { imageOptions } from '../commands/image/options.ts';
import { benchOptions } from './bench.ts';
import type { OptionSpec } from './option.ts';

const insecureWords = 'none, image, tls, http, pubkey, weak-keys, ondisk, all';

/** Options of every command. */
const common = [
  { name: 'dir', group: 'Store', kind: 'value', placeholder: 'DIR', help: 'Data directory' },
  {
    name: 'insecure-options',
    group: 'Trust',
    kind: 'value',
    placeholder: 'LIST',
    help: `Checks to lift: ${insecureWords}`,
  },
  {
    name: 'system-config',
    group: 'Other',
    kind: 'value',
    placeholder: 'DIR',
    help: 'System configuration, default /usr/lib/longshore',
  },
  {
    name: 'local-config',
    group: 'Other',
    kind: 'value',
    placeholder: 'DIR',
    help: 'Local configuration, default /etc/longshore',
  },
  {
    name: 'user-config',
    group: 'Other',
    kind: 'value',
    placeholder: 'DIR',
    help: 'User configuration, default ~/.config/longshore',
  },
  {
    name: 'trust-keys-from-https',
    group: 'Trust',
    kind: 'flag',
    help: 'Trust keys that are discovered over https, unreviewed',
  },
  { name: 'debug', group: 'Other', kind: 'flag', help: 'Show the causes of errors' },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

/** Options of the commands that take images from anywhere: what to fetch. */
const asking = [
  {
    name: 'from-file',
    group: 'What to fetch',
    short: 'f',
    kind: 'values',
    placeholder: 'LIST',
    help: 'Take what LIST names, - for standard input',
  },
  {
    name: 'signature',
    group: 'Trust',
    kind: 'values',
    placeholder: 'FILE',
    help: 'Signature of the image before it, instead of the one beside the image',
    environment: false,
  },
  {
    name: 'store-only',
    group: 'What to fetch',
    kind: 'flag',
    help: 'Nothing from the network, as --pull-policy=never',
  },
  { name: 'no-store', group: 'What to fetch', kind: 'flag', help: 'Ask the network first, as --pull-policy=update' },
  {
    name: 'pull-policy',
    group: 'What to fetch',
    kind: 'value',
    choices: ['new', 'update', 'never'],
    help: 'When to ask the network, default new',
  },
  {
    name: 'resolve-max-age',
    group: 'What to fetch',
    kind: 'value',
    placeholder: 'TIME',
    help: 'Use again what a tag or name stood for so long ago, default 5m; 0 never',
  },
  {
    name: 'keep',
    group: 'Store',
    kind: 'value',
    choices: ['aci', 'oci', 'both'],
    help: 'What to keep of images of registries: an archive made of them (aci), them as they came (oci, the default), or both',
  },
  {
    name: 'platform',
    group: 'What to fetch',
    kind: 'values',
    placeholder: 'OS/ARCH[/VARIANT]|all',
    help: 'Bring images of registries for these platforms (also a,b), or whole indexes; default linux on this processor',
  },
  { name: 'referrers', group: 'What to fetch', kind: 'flag', help: 'Bring signatures, attestations and SBOMs too' },
  {
    name: 'mirror',
    group: 'Network',
    kind: 'values',
    placeholder: 'HOST=ORIGIN',
    help: 'Ask ORIGIN first for images of the registry HOST',
  },
  { name: 'no-deps', group: 'What to fetch', kind: 'flag', help: 'Leave dependencies out' },
  {
    name: 'jobs',
    group: 'Speed and limits',
    short: 'j',
    kind: 'value',
    placeholder: 'N|auto',
    help: 'Transfers at once, default auto: as the machine allows',
  },
  {
    name: 'jobs-per-host',
    group: 'Speed and limits',
    kind: 'value',
    placeholder: 'N|auto',
    help: 'Transfers at once from one host, at most; default auto: 4 to 16',
  },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

const fetch = [
  { name: 'fail-fast', group: 'What to fetch', kind: 'flag', help: 'Stop at the first failure' },
  {
    name: 'progress',
    group: 'Output',
    kind: 'value',
    choices: ['auto', 'tty', 'plain', 'json', 'none'],
    help: 'Form of progress on stderr, default auto',
  },
  {
    name: 'events',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Write events to FILE, one JSON object a line',
  },
  {
    name: 'report',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE.html',
    help: 'Write a page that shows the run to FILE.html',
  },
  {
    name: 'lock',
    group: 'What to fetch',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Take the images that FILE names, and write into it which they were',
  },
  {
    name: 'frozen',
    group: 'What to fetch',
    kind: 'flag',
    help: 'Take only what the lock file names, and leave it as it is',
  },
  {
    name: 'limit-rate',
    group: 'Speed and limits',
    kind: 'named',
    placeholder: '[HOST=]RATE',
    help: 'Most bytes a second in all, or of HOST: digits and K, M or G',
  },
  {
    name: 'min-rate',
    group: 'Speed and limits',
    kind: 'value',
    placeholder: 'RATE',
    help: 'A slower transfer counts as stalled, default off',
  },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

/** Options of push: what, and where to. */
const push = [
  {
    name: 'to',
    group: 'What to push',
    kind: 'value',
    placeholder: 'docker://HOST[/PREFIX]',
    help: 'The registry, and what comes before the names of the images there',
  },
  {
    name: 'from-file',
    group: 'What to push',
    short: 'f',
    kind: 'values',
    placeholder: 'LIST',
    help: 'Push what LIST names, - for standard input',
  },
  { name: 'all', group: 'What to push', kind: 'flag', help: 'Push all registry images of the store' },
  { name: 'scoped', group: 'What to push', kind: 'flag', help: 'Keep the host in the names as well, as skopeo sync' },
  {
    name: 'no-overwrite',
    group: 'What to push',
    kind: 'flag',
    help: 'Fail for a tag that is there with another digest',
  },
  { name: 'dry-run', group: 'What to push', kind: 'flag', help: 'Show what would go where, and ask and send nothing' },
  { name: 'fail-fast', group: 'What to push', kind: 'flag', help: 'Stop at the first failure' },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

/** Options of fetch that push has as well. */
const sharedWithPush: readonly string[] = [
  ...['jobs', 'jobs-per-host', 'progress', 'events', 'limit-rate', 'min-rate'],
  ...['retries', 'timeout', 'ca-file', 'connect-to', 'deny-net'],
];

function withPush(name: string): readonly ['push'] | readonly [] {
  return sharedWithPush.includes(name) ? ['push'] : [];
}

/** Options of the commands that use the network. */
const network = [
  { name: 'retries', group: 'Network', kind: 'value', placeholder: 'N', help: 'Tries after the first, default 4' },
  {
    name: 'timeout',
    group: 'Network',
    kind: 'named',
    placeholder: 'NAME=TIME',
    help: 'Set connect, headers or stall, such as stall=20s',
  },
  {
    name: 'discover',
    group: 'Network',
    kind: 'named',
    placeholder: 'PREFIX=ORIGIN',
    help: 'Discover names under PREFIX at ORIGIN',
  },
  {
    name: 'ca-file',
    group: 'Network',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Trust the certificate authorities in FILE too',
  },
  {
    name: 'connect-to',
    group: 'Network',
    kind: 'values',
    placeholder: 'HOST:PORT:ADDRESS:PORT',
    help: 'Connect to another place, as curl does',
  },
  { name: 'deny-net', group: 'Network', kind: 'values', placeholder: 'CIDR', help: 'Never connect to these addresses' },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

const trust = [
  { name: 'root', group: 'What to trust', kind: 'flag', help: 'Trust the key for every name' },
  {
    name: 'prefix',
    group: 'What to trust',
    kind: 'value',
    placeholder: 'PREFIX',
    help: 'Trust the key for PREFIX and the names below it',
  },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

const mixed = [
  {
    name: 'limit',
    group: 'Speed and limits',
    kind: 'named',
    placeholder: 'NAME=VALUE',
    help: 'Set a limit, such as archive=2G',
    commands: ['fetch', 'plan', 'push', 'trust', 'image export', 'image extract', 'image render', 'bench'],
  },
  {
    name: 'workers',
    group: 'Speed and limits',
    kind: 'value',
    placeholder: 'N',
    help: 'Threads that unpack and verify, default one a processor',
    commands: ['fetch', 'plan', 'push', 'image verify'],
  },
  { name: 'full', group: 'Output', kind: 'flag', help: 'Print IDs whole', commands: ['fetch', 'plan', 'image list'] },
  {
    name: 'output',
    group: 'Output',
    kind: 'value',
    choices: ['text', 'json'],
    help: 'Form of the result, default text',
    commands: ['fetch', 'push', 'trust list', 'image list', 'image show', 'image verify', 'bench'],
  },
  {
    name: 'output',
    group: 'Output',
    kind: 'value',
    choices: ['text', 'json', 'dot'],
    help: 'Form of the plan, default text',
    commands: ['plan'],
  },
  {
    name: 'skip-fingerprint-review',
    group: 'What to trust',
    kind: 'flag',
    help: 'Trust the key without asking',
    commands: ['trust'],
  },
  {
    name: 'insecure-allow-http',
    group: 'Trust',
    kind: 'flag',
    help: 'Take keys over http as well, as --insecure-options=http',
    commands: ['trust'],
  },
  {
    name: 'keep',
    group: 'Store',
    kind: 'value',
    placeholder: 'DIR',
    help: 'Where to leave the store, which else is temporary',
    environment: false, // another option has the variable of this name
    commands: ['demo'],
  },
] as const satisfies readonly OptionSpec[];

export type OptionName = (
  | typeof common
  | typeof asking
  | typeof fetch
  | typeof push
  | typeof network
  | typeof trust
  | typeof mixed
  | typeof imageOptions
  | typeof benchOptions
)[number]['name'];

/** All options, in the order of help. */
export const optionTable: readonly OptionSpec[] = [
  ...asking.map((spec) => ({ ...spec, commands: ['fetch', 'plan', ...withPush(spec.name)] as const })),
  ...fetch.map((spec) => ({ ...spec, commands: ['fetch', ...withPush(spec.name)] as const })),
  ...push.map((spec) => ({ ...spec, commands: ['push'] as const })),
  ...network.map((spec) => ({
    ...spec,
    commands: ['fetch', 'plan', 'trust', 'bench', ...withPush(spec.name)] as const,
  })),
  ...trust.map((spec) => ({ ...spec, commands: ['trust', 'trust remove'] as const })),
  ...mixed,
  ...imageOptions,
  ...benchOptions.map((spec) => ({ ...spec, commands: ['bench'] as const })),
  ...common.map((spec) => ({ ...spec, commands: 'all' as const })),
];
