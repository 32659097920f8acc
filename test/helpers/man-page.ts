import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { commands } from '../../src/cli/commands.ts';
import { optionGroups, type OptionSpec, variableName } from '../../src/cli/options/option.ts';
import { optionTable } from '../../src/cli/options/table.ts';
import { exitCodes } from '../../src/cli/output/exit-code.ts';

/** The manual page in the package. */
export const manPath = join(import.meta.dirname, '../../man/longshore.1');

/** Also the codes that are no kind of failure: of bench --compare, and of signals. */
const exitStatus: readonly (readonly [code: number | string, meaning: string])[] = [
  [exitCodes.success, 'Everything that was asked for is there.'],
  [exitCodes.unforeseen, 'A bug, or what was asked for was stopped before its end.'],
  [exitCodes.usage, 'The command line, a list or a configuration file is wrong; nothing was done.'],
  [exitCodes.mixed, 'Failures of several of the kinds below.'],
  [exitCodes.notFound, 'Something does not exist.'],
  [exitCodes.refused, 'Something was refused: its signature, its content, a limit.'],
  [exitCodes.authentication, 'Credentials are missing or wrong.'],
  [exitCodes.network, 'The network or a server failed.'],
  [exitCodes.store, 'The store cannot be used, or a result could not be written.'],
  [9, 'bench --compare: it became slower.'],
  [exitCodes.lock, 'An image is not the one that the lock file names.'],
  ['128 + N', 'The signal N ended it.'],
];

/** Makes the page of the table of commands and the table of options, in the macros of man(7). */
export function renderManPage(): string {
  const used = optionGroups.filter((group) => optionTable.some((spec) => spec.group === group));
  return [
    '.\\" Made of the tables of commands and options by npm run docs.',
    '.TH LONGSHORE 1 "" longshore "User Commands"',
    '.nh', // a command that is copied has no hyphens but its own
    '.ad l',
    '.SH NAME',
    'longshore \\- fetch images in bulk, verified and resumable, into one store',
    '.SH SYNOPSIS',
    ...commands.flatMap(({ name, operands }, index) => [
      ...(index === 0 ? [] : ['.br']),
      `.B longshore ${escape(name)}`,
      `[\\fIOPTION\\fR]... ${escape(operands)}`.trimEnd(),
    ]),
    '.SH DESCRIPTION',
    escape('longshore brings many images, and all that they depend on, into a store on disk: archives (ACI) by name,'),
    escape(
      'URL or path, and images of registries by docker://NAME. Each is verified before it is visible, and what was',
    ),
    escape('downloaded before an interruption is not downloaded again.'),
    '.SH COMMANDS',
    ...commands.flatMap(({ name, operands, summary }) => [
      '.TP',
      `\\fB${escape(name)}\\fR ${escape(operands)}`.trimEnd(),
      `${escape(summary)}.`,
    ]),
    '.SH OPTIONS',
    'Each says which commands have it.',
    ...used.flatMap((group) => [
      `.SS ${escape(group)}`,
      ...optionTable.filter((spec) => spec.group === group).flatMap(optionLines),
    ]),
    '.TP',
    '\\fB\\-h\\fR, \\fB\\-\\-help\\fR',
    'Show the options of a command, and examples.',
    '.TP',
    '\\fB\\-\\-version\\fR',
    'Show the version.',
    '.SH EXIT STATUS',
    ...exitStatus.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, escape(meaning)]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B LONGSHORE_NAME',
    escape(
      `The option --name, such as ${variableName({ name: 'no-deps' })}=1 for --no-deps; the command line takes precedence.`,
    ),
    escape('Options that may be repeated have one value a line. --signature has no variable.'),
    '.TP',
    '.BR http_proxy ", " https_proxy ", " all_proxy ", " no_proxy',
    'Proxies, and the hosts that are reached without one.',
    '.SH FILES',
    ...['/usr/lib/longshore', '/etc/longshore', '~/.config/longshore'].flatMap((path) => [
      '.TP',
      `.I ${escape(path)}`,
      'Configuration and trusted keys; a later directory takes precedence.',
    ]),
    '.SH EXAMPLES',
    ...commands.flatMap(({ examples }) =>
      examples.flatMap(([line, what]) => ['.TP', `.B longshore ${escape(line)}`, `${escape(what)}.`]),
    ),
    '',
  ].join('\n');
}

function optionLines({ name, short, kind, placeholder, choices, help, commands }: OptionSpec): readonly string[] {
  const value = kind === 'flag' ? '' : `=\\fI${escape(choices?.join('|') ?? placeholder ?? 'VALUE')}\\fR`;
  const letter = short === undefined ? '' : `\\fB\\-${short}\\fR, `;
  const where = commands === 'all' ? 'All commands.' : `Of ${commands.join(', ')}.`;
  return ['.TP', `${letter}\\fB\\-\\-${escape(name)}\\fR${value}`, `${escape(help)}.`, escape(where)];
}

/** Text as troff reads it: a hyphen of an option is a minus, and a line of text never begins as a request does. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
    .replaceAll('…', '...')
    .replace(/^(?=[.'])/, '\\&');
}

if (import.meta.main) {
  await mkdir(dirname(manPath), { recursive: true });
  await writeFile(manPath, renderManPage());
}
