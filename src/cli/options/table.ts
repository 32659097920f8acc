import { fleetCommandsWith, fleetOptions } from '../commands/fleet/options.ts';
import { imageOptions } from '../commands/image/options.ts';
import { benchOptions } from './bench.ts';
import { askingRows, evidenceRows, fetchRows, lockRows, networkRows } from './fetch.ts';
import type { CommandName, OptionSpec } from './option.ts';
import { listRows, pushRows, serveRows, sharedWithImport, sharedWithList, sharedWithPush } from './push.ts';

const insecureWords = ['none', 'image', 'tls', 'http', 'pubkey', 'weak-keys', 'ondisk', 'all'];

/** Options of every command. */
const common = [
  { name: 'dir', group: 'Store', kind: 'value', placeholder: 'DIR', help: 'Data directory' },
  {
    name: 'insecure-options',
    group: 'Trust',
    kind: 'value',
    placeholder: 'LIST',
    words: insecureWords,
    help: `Checks to lift: ${insecureWords.join(', ')}`,
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
    name: 'policy',
    group: 'Trust',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Accept images of registries as FILE says, a policy.json of containers-policy.json(5), and not by trusted keys',
    commands: ['fetch', 'plan', 'serve', 'image import', 'image verify', 'fleet work'],
  },
  {
    name: 'limit',
    group: 'Speed and limits',
    kind: 'named',
    placeholder: 'NAME=VALUE',
    help: 'Set a limit, such as archive=2G',
    commands: [
      'fetch',
      'plan',
      'push',
      'trust',
      'image export',
      'image import',
      'image extract',
      'image render',
      'fleet work',
      'bench',
    ],
  },
  {
    name: 'workers',
    group: 'Speed and limits',
    kind: 'value',
    placeholder: 'N',
    help: 'Threads that unpack and verify, default one a processor',
    commands: ['fetch', 'plan', 'push', 'image import', 'image verify', 'fleet work'],
  },
  {
    name: 'full',
    group: 'Output',
    kind: 'flag',
    help: 'Print IDs whole',
    commands: ['fetch', 'plan', 'image list', 'image import', 'fleet result'],
  },
  {
    name: 'keep-archives',
    group: 'Store',
    kind: 'flag',
    help: 'Keep archives also as they were transferred, beside their signatures; what the store has without is fetched again',
    commands: ['fetch', 'plan', 'image import', 'fleet work'],
  },
  {
    name: 'output',
    group: 'Output',
    kind: 'value',
    choices: ['text', 'json'],
    help: 'Form of the result, default text',
    commands: [
      'fetch',
      'push',
      'serve',
      'list',
      'trust list',
      'trust update-root',
      'image list',
      'image import',
      'image show',
      'image verify',
      'image prune',
      'fleet submit',
      'fleet work',
      'fleet status',
      'fleet result',
      'bench',
    ],
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
    name: 'fingerprint',
    group: 'What to trust',
    kind: 'values',
    placeholder: 'HEX',
    help: 'Trust the key with this fingerprint without asking, and no other',
    environment: false, // it belongs to the keys that are named
    commands: ['trust'],
  },
  {
    name: 'identity',
    group: 'What to trust',
    kind: 'value',
    placeholder: 'SAN',
    help: 'Trust who has this address or URL in a certificate of sigstore, instead of a key',
    environment: false, // it belongs to the prefix
    commands: ['trust'],
  },
  {
    name: 'identity-regexp',
    group: 'What to trust',
    kind: 'value',
    placeholder: 'RE',
    help: 'As --identity, for all that fit the pattern (RE2) as a whole',
    environment: false,
    commands: ['trust'],
  },
  {
    name: 'issuer',
    group: 'What to trust',
    kind: 'value',
    placeholder: 'URL',
    help: 'Who must have vouched for the identity: the URL of an OpenID provider',
    environment: false,
    commands: ['trust'],
  },
  {
    name: 'issuer-regexp',
    group: 'What to trust',
    kind: 'value',
    placeholder: 'RE',
    help: 'As --issuer, for all that fit the pattern (RE2) as a whole',
    environment: false,
    commands: ['trust'],
  },
  {
    name: 'trusted-root',
    group: 'Trust',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Authorities of sigstore, instead of trustedkeys/trusted_root.json of the configuration',
    commands: ['fetch', 'plan', 'serve', 'image import', 'image verify', 'fleet work'],
  },
  {
    name: 'mirror',
    group: 'Network',
    kind: 'value',
    placeholder: 'URL',
    help: 'Where the repository of TUF is, or a mirror of it; default that of the sigstore project',
    environment: false, // another option has the variable of this name
    commands: ['trust update-root'],
  },
  {
    name: 'initial-root',
    group: 'What to trust',
    kind: 'value',
    placeholder: 'FILE',
    help: 'The root.json whose keys are trusted first; default that of the sigstore project',
    environment: false,
    commands: ['trust update-root'],
  },
  {
    name: 'dry-run',
    group: 'Output',
    kind: 'flag',
    help: 'Say what would change, and write nothing',
    commands: ['trust update-root'],
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
  | typeof askingRows
  | typeof fetchRows
  | typeof evidenceRows
  | typeof lockRows
  | typeof pushRows
  | typeof serveRows
  | typeof listRows
  | typeof networkRows
  | typeof trust
  | typeof mixed
  | typeof imageOptions
  | typeof fleetOptions
  | typeof benchOptions
)[number]['name'];

const sharedWithUpdate: readonly string[] = ['retries', 'timeout', 'ca-file', 'connect-to', 'deny-net'];

/** The commands that have an option of fetch as well. */
function others(name: string): readonly CommandName[] {
  return [
    ...(sharedWithUpdate.includes(name) ? (['trust update-root'] as const) : []),
    ...(sharedWithPush.includes(name) ? (['push'] as const) : []),
    ...(sharedWithList.includes(name) ? (['list'] as const) : []),
    ...(sharedWithImport.includes(name) ? (['image import'] as const) : []),
    ...fleetCommandsWith('fetch', name),
  ];
}

/** All options, in the order of help. */
export const optionTable: readonly OptionSpec[] = [
  ...askingRows.map((spec) => ({ ...spec, commands: ['fetch', 'plan', ...others(spec.name)] as const })),
  ...fetchRows.map((spec) => ({ ...spec, commands: ['fetch', ...others(spec.name)] as const })),
  ...evidenceRows.map((spec) => ({ ...spec, commands: ['fetch'] as const })),
  ...lockRows,
  ...pushRows.map((spec) => ({ ...spec, commands: ['push' as const, ...fleetCommandsWith('push', spec.name)] })),
  ...serveRows.map((spec) => ({ ...spec, commands: ['serve' as const, ...fleetCommandsWith('serve', spec.name)] })),
  ...listRows.map((spec) => ({ ...spec, commands: ['list'] as const })),
  ...networkRows.map((spec) => ({
    ...spec,
    commands: ['fetch', 'plan', 'trust', 'bench', ...others(spec.name)] as const,
  })),
  ...trust.map((spec) => ({ ...spec, commands: ['trust', 'trust remove'] as const })),
  ...mixed,
  ...imageOptions,
  ...fleetOptions,
  ...benchOptions.map((spec) => ({ ...spec, commands: ['bench'] as const })),
  ...common.map((spec) => ({ ...spec, commands: 'all' as const })),
];
