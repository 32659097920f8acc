import { listTypes } from '../../lists/list.ts';
import type { OptionSpec } from './option.ts';

/** Options of the commands that take images from anywhere: what to fetch. */
export const askingRows = [
  {
    name: 'from-file',
    group: 'What to fetch',
    short: 'f',
    kind: 'values',
    placeholder: '[TYPE:]LIST',
    help: `Take what LIST names: a file, a directory, or - for standard input. TYPE, if the content does not tell it: ${listTypes.join(', ')}`,
  },
  {
    name: 'names',
    group: 'What to fetch',
    kind: 'value',
    choices: ['discovery', 'registry'],
    help: 'What a name without a scheme is: one that discovery finds (the default), or an image of a registry, as docker reads it',
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

/** Options of fetch alone, and of push where it has them too. */
export const fetchRows = [
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
    help: 'Write events to FILE, one JSON object a line; - is the standard output, fd:N a descriptor that is open',
  },
  {
    name: 'report',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE.html',
    help: 'Write a page that shows the run to FILE.html',
  },
  {
    name: 'metrics',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE.prom',
    help: 'Write what the run has done to FILE.prom in the text format of Prometheus, for the textfile collector of node-exporter',
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

/** Options for files that say what a fetch has brought. */
export const evidenceRows = [
  {
    name: 'bom',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE.json',
    help: 'Write what was brought, what it needs and where it came from to FILE.json, as CycloneDX 1.6',
  },
  {
    name: 'attest',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE.jsonl',
    help: 'Write for each image whether it was verified, and by which key, to FILE.jsonl: one in-toto statement a line',
  },
  {
    name: 'attest-key',
    group: 'Output',
    kind: 'value',
    placeholder: 'KEY.pem',
    help: 'Sign each of these statements with this private key, as DSSE: ECDSA, ed25519 or RSA, without a passphrase',
  },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

/** Options for lock files. */
export const lockRows = [
  {
    name: 'lock',
    group: 'What to fetch',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Take the images that FILE has, also if their tags have moved, and write into it what is new',
    commands: ['fetch', 'plan'],
  },
  {
    name: 'frozen',
    group: 'What to fetch',
    kind: 'flag',
    help: 'Take only what the lock file has, and leave it as it is',
    commands: ['fetch', 'plan', 'fleet submit'],
  },
  {
    name: 'relock',
    group: 'What to fetch',
    kind: 'flag',
    help: 'Find out anew what tags and names stand for, say what has moved, and write that into the lock file',
    commands: ['fetch'],
  },
  {
    name: 'lock-partial',
    group: 'What to fetch',
    kind: 'flag',
    help: 'Write into the lock file what was found, also when other images failed',
    commands: ['fetch'],
  },
] as const satisfies readonly OptionSpec[];

/** Options of the commands that use the network. */
export const networkRows = [
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
