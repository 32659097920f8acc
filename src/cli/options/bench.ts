import type { OptionSpec } from './option.ts';

/** Options of `bench` alone, and those that mean more there than elsewhere. */
export const benchOptions = [
  {
    name: 'from-file',
    short: 'f',
    kind: 'values',
    placeholder: 'LIST',
    help: 'Fetch what LIST names, instead of images made for it',
  },
  { name: 'jobs', short: 'j', kind: 'value', placeholder: 'LIST', help: 'Transfers at once to try, default 1,4,16' },
  {
    name: 'workers',
    kind: 'value',
    placeholder: 'LIST',
    help: 'Threads to try, default 1 and one a processor',
  },
  {
    name: 'jobs-per-host',
    kind: 'value',
    placeholder: 'N',
    help: 'Transfers at once from one host, default 6; as --jobs for images made',
  },
  { name: 'rounds', kind: 'value', placeholder: 'N', help: 'Runs of each setting after one that warms up, default 3' },
  { name: 'images', kind: 'value', placeholder: 'N', help: 'Images to make, default 40' },
  { name: 'size', kind: 'value', placeholder: 'SIZE', help: 'Size of each, default 4M, at most 64M' },
  {
    name: 'compressibility',
    kind: 'value',
    placeholder: 'PERCENT',
    help: 'What compression takes away of them, default 50',
  },
  { name: 'unsigned', kind: 'flag', help: 'Make images without signatures' },
  { name: 'tree', kind: 'flag', help: 'Make images that need others, and ask for the topmost alone' },
  {
    name: 'registry',
    kind: 'flag',
    help: 'Make images of a registry instead, of four layers each, without signatures',
  },
  { name: 'delay', kind: 'value', placeholder: 'TIME', help: 'Have the local server wait before each answer' },
  { name: 'rate', kind: 'value', placeholder: 'RATE', help: 'Most bytes a second of each of its answers' },
  { name: 'loss', kind: 'value', placeholder: 'PERCENT', help: 'How many of its answers break off, at most 50' },
  { name: 'no-deps', kind: 'flag', help: 'Leave dependencies out' },
  { name: 'compare', kind: 'value', placeholder: 'FILE', help: 'Compare with a result of --output=json before' },
  { name: 'report', kind: 'value', placeholder: 'FILE.html', help: 'Write a page with charts to FILE.html' },
] as const satisfies readonly Omit<OptionSpec, 'commands'>[];
