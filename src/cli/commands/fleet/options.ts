import { type CommandName, commandNames, type OptionSpec } from '../../options/option.ts';

/** The commands that read results of workers. */
const readers = ['fleet status', 'fleet wait', 'fleet result'] as const;
const all = ['fleet submit', 'fleet work', ...readers, 'fleet cancel'] as const;

/** Options of the subcommands of `fleet`, other than those shared with other commands. */
export const fleetOptions = [
  {
    name: 'queue',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'redis://HOST[:PORT][/DB]',
    help: 'The Redis that the fleet meets at, rediss:// for TLS',
    commands: all,
  },
  {
    name: 'queue-auth',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Log in to it with the PASSWORD or USER:PASSWORD that FILE has in its first line',
    commands: all,
  },
  {
    name: 'queue-ca',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Trust the certificate authorities in FILE for it too',
    commands: all,
  },
  {
    name: 'batch',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'NAME',
    help: 'The name of the batch: letters, digits and ._- ; default one of its time',
    environment: false, // it belongs to one batch
    commands: ['fleet submit'],
  },
  {
    name: 'batch',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'NAME',
    help: 'Work on this batch only, wait up to an hour for it if it is yet to come, and end when it is complete',
    environment: false,
    commands: ['fleet work'],
  },
  {
    name: 'to',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'docker://HOST[/PREFIX]',
    help: 'Have each image pushed there, as push does; default: it stays in the store of the worker that brought it',
    environment: false, // another option has the variable of this name
    commands: ['fleet submit'],
  },
  {
    name: 'everywhere',
    group: 'Fleet',
    kind: 'flag',
    help: 'Have each image brought into the store of each worker',
    commands: ['fleet submit'],
  },
  {
    name: 'lock',
    group: 'What to fetch',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Have the images brought that FILE has, also if their tags have moved; fleet result --lock writes such a file',
    environment: false,
    commands: ['fleet submit'],
  },
  {
    name: 'submit-key',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'KEY.pem',
    help: 'Sign with this private key, which workers have to --accept: ed25519, ECDSA or RSA, without a passphrase',
    commands: ['fleet submit', 'fleet cancel'],
  },
  {
    name: 'trust',
    group: 'Trust',
    kind: 'values',
    placeholder: 'PREFIX=KEY',
    help: 'Let this public key, armored or in PEM, count for names with PREFIX, at workers that --accept-trust',
    environment: false,
    commands: ['fleet submit'],
  },
  {
    name: 'expires',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'TIME',
    help: 'Let nobody begin an image after this time, default 168h, at most 720h',
    commands: ['fleet submit'],
  },
  {
    name: 'keep-results',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'TIME',
    help: 'Keep results so long after the batch is complete, default 24h, at most 720h',
    commands: ['fleet submit'],
  },
  {
    name: 'per-host',
    group: 'Speed and limits',
    kind: 'value',
    placeholder: 'N',
    help: 'Images of one host that the whole fleet brings at once, default 64',
    commands: ['fleet submit'],
  },
  {
    name: 'accept',
    group: 'Trust',
    kind: 'values',
    placeholder: 'KEY.pem',
    help: 'Believe batches that are signed by this key: a public one, or a private one of which the public part counts',
    commands: ['fleet work', ...readers],
  },
  {
    name: 'accept-worker',
    group: 'Trust',
    kind: 'values',
    placeholder: 'KEY.pem',
    help: 'Believe results and addresses that are signed by the --worker-key of this public key',
    commands: ['fleet work', ...readers],
  },
  {
    name: 'accept-trust',
    group: 'Trust',
    kind: 'flag',
    help: 'Let the keys that a batch has count beside those of this machine, for that batch alone',
    commands: ['fleet work'],
  },
  {
    name: 'worker-key',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'KEY.pem',
    help: 'Sign results with this private key; default one that is made for this run, which nobody can name',
    commands: ['fleet work'],
  },
  {
    name: 'name',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'NAME',
    help: 'What this worker is called in results: letters, digits and ._- ; default that of the machine and of the process',
    commands: ['fleet work'],
  },
  {
    name: 'allow-to',
    group: 'Trust',
    kind: 'values',
    placeholder: 'docker://HOST[/PREFIX]',
    help: 'Push for batches whose target is this, or below it; default: to none',
    commands: ['fleet work'],
  },
  {
    name: 'listen',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'HOST:PORT',
    help: 'Give other workers what the store has at this address; port 0 for any free one. ACIs of a batch for everywhere are kept packed, too',
    environment: false, // another option has the variable of this name
    commands: ['fleet work'],
  },
  {
    name: 'advertise',
    group: 'Fleet',
    kind: 'value',
    placeholder: 'HOST:PORT',
    help: 'The address that other workers reach --listen at, where it is another one',
    commands: ['fleet work'],
  },
  {
    name: 'peer-secret',
    group: 'Trust',
    kind: 'value',
    placeholder: 'FILE',
    help: 'A secret that all workers have, of 32 bytes or more: who has it may read the stores of the others',
    commands: ['fleet work'],
  },
  {
    name: 'lock',
    group: 'Output',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Write into FILE what was brought, for fetch --lock',
    environment: false,
    commands: ['fleet result'],
  },
] as const satisfies readonly OptionSpec[];

/** Options that the subcommands share with fetch, push and serve. */
const shared = {
  fetch: {
    'fleet submit': [
      ...['from-file', 'names', 'keep', 'platform', 'referrers', 'no-deps'],
      ...['mirror', 'retries', 'timeout', 'deny-net'], // for selections of tags
    ],
    'fleet work': [
      ...['mirror', 'jobs', 'jobs-per-host', 'resolve-max-age', 'limit-rate', 'min-rate'],
      ...['retries', 'timeout', 'discover', 'ca-file', 'connect-to', 'deny-net'],
    ],
    'fleet wait': ['progress'],
    'fleet result': ['report'],
  },
  push: { 'fleet submit': ['scoped', 'no-overwrite'] },
  serve: { 'fleet work': ['cert', 'key'] },
} as const satisfies Readonly<Record<string, { readonly [C in CommandName]?: readonly string[] }>>;

/** The subcommands that have an option of another command as well. */
export function fleetCommandsWith(other: keyof typeof shared, name: string): readonly CommandName[] {
  const byCommand: { readonly [C in CommandName]?: readonly string[] } = shared[other];
  return commandNames.filter((command) => byCommand[command]?.includes(name));
}
