import type { OptionSpec } from './option.ts';

/** Options of push: what, and where to. */
export const pushRows = [
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
    placeholder: '[TYPE:]LIST',
    help: 'Push what LIST names, - for standard input; the types are those of fetch',
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
export const sharedWithPush: readonly string[] = [
  ...['names', 'jobs', 'jobs-per-host', 'progress', 'events', 'report', 'metrics', 'limit-rate', 'min-rate'],
  ...['retries', 'timeout', 'ca-file', 'connect-to', 'deny-net'],
];

/** Options of fetch that the import of archives has as well. */
export const sharedWithImport: readonly string[] = ['keep', 'fail-fast', 'jobs', 'progress', 'events', 'metrics'];

/** Options of list. */
export const listRows = [
  {
    name: 'resolve',
    group: 'Output',
    kind: 'flag',
    help: 'Ask registries which tags are chosen, and what digest each reference stands for now',
  },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];

/** Options of fetch that list has as well. */
export const sharedWithList: readonly string[] = [
  ...['names', 'mirror', 'retries', 'timeout', 'ca-file', 'connect-to', 'deny-net'],
];

/** Options of serve: at which address, and for whom. */
export const serveRows = [
  {
    name: 'listen',
    group: 'What to serve',
    kind: 'value',
    placeholder: 'HOST:PORT',
    help: 'The address, default 127.0.0.1:5000; port 0 for any free one',
  },
  {
    name: 'host',
    group: 'What to serve',
    kind: 'values',
    placeholder: 'NAME',
    help: 'A name that clients ask for this server by, besides its addresses',
  },
  {
    name: 'catalog',
    group: 'What to serve',
    kind: 'flag',
    help: 'Answer which repositories there are (/v2/_catalog)',
  },
  {
    name: 'cert',
    group: 'Trust',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Serve over TLS with this certificate, PEM, with those between it and its authority behind it',
  },
  { name: 'key', group: 'Trust', kind: 'value', placeholder: 'FILE', help: 'The private key of --cert, PEM' },
  {
    name: 'auth',
    group: 'Trust',
    kind: 'value',
    placeholder: 'FILE',
    help: 'Ask for a user and a password of FILE, as htpasswd -B writes it',
  },
  {
    name: 'public',
    group: 'Trust',
    kind: 'flag',
    help: 'Serve to everybody who reaches the address, also without TLS and passwords',
  },
  {
    name: 'verified-only',
    group: 'Trust',
    kind: 'flag',
    help: 'Serve only what the trusted keys, or the policy, of today accept',
  },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];
