import test from 'ava';
import fc from 'fast-check';

import { commands } from '../../../src/cli/commands.ts';
import { isPlain, parseCommandLine } from '../../../src/cli/options/command-line.ts';
import { environmentWarnings } from '../../../src/cli/options/environment.ts';
import { appliesTo, commandNames } from '../../../src/cli/options/option.ts';
import { optionTable } from '../../../src/cli/options/table.ts';
import { checkArguments } from '../../../src/cli/parser.ts';

const parse = (line: string, environment: Record<string, string> = {}) =>
  parseCommandLine(line === '' ? [] : line.split(' '), optionTable, environment);
const operands = (line: string) => parse(line).operands.map(({ text }) => text);
const texts = (line: string, name: Parameters<ReturnType<typeof parse>['values']>[0], environment = {}) =>
  parse(line, environment)
    .values(name)
    .map(({ text }) => text);

test('a command is found after options, and its options before it count', (t) => {
  const line = parse('--store-only --dir /d fetch a');
  t.is(line.command, 'fetch');
  t.deepEqual(line.operands, [{ text: 'a' }]);
  t.deepEqual(line.argv, ['a', '--store-only=true', '--dir=/d']);
});

test('an option takes a value in every command that has it or in none: it is read before the command is known', (t) => {
  const kinds = Map.groupBy(optionTable, ({ name }) => name);
  for (const [name, rows] of kinds) t.is(new Set(rows.map(({ kind }) => kind === 'flag')).size, 1, name);
  t.deepEqual(operands('trust --root key.asc'), ['key.asc']);
});

test('a command of two words is found with options between them', (t) => {
  const line = parse('image --full list --sort size');
  t.is(line.command, 'image list');
  t.deepEqual(line.operands, []);
});

test('trust alone and its subcommands are distinguished', (t) => {
  t.is(parse('trust list').command, 'trust list');
  t.is(parse('trust ./list').command, 'trust');
});

test('an option has the form that its command gives it, whatever another command has by that name', (t) => {
  const other = { name: 'root', group: 'Other', kind: 'value', help: '', commands: ['fetch'] } as const;
  for (const table of [
    [...optionTable, other],
    [other, ...optionTable],
  ]) {
    const argv = (line: string) => parseCommandLine(line.split(' '), table, {}).argv;
    t.deepEqual(argv('trust --root key.asc'), ['key.asc', '--root=true']);
    t.deepEqual(argv('fetch --root one two'), ['two', '--root=one']);
  }
});

test('an option that may be repeated takes one value each time', (t) => {
  t.deepEqual(operands('fetch -f one a --from-file two b --from-file=three c -ffour'), ['a', 'b', 'c']);
  t.deepEqual(texts('fetch -f one a --from-file two b --from-file=three c -ffour', 'from-file'), [
    'one',
    'two',
    'three',
    'four',
  ]);
});

test('a list may be the standard input', (t) => {
  const line = parse('fetch -f - a');
  t.deepEqual(line.values('from-file'), [{ text: '-', option: '--from-file' }]);
  t.deepEqual(line.argv, ['a', '--from-file=-']);
});

test('a short option takes its value in every form', (t) => {
  for (const form of ['-j 4', '-j4', '-j=4', '--jobs 4', '--jobs=4'])
    t.deepEqual(texts(`fetch ${form} a`, 'jobs'), ['4']);
});

test('of a single-valued option given twice, yargs gets the last value', (t) => {
  t.deepEqual(parse('fetch --jobs 1 --jobs 2').argv, ['--jobs=2']);
});

test('arguments after -- are operands', (t) => {
  t.deepEqual(operands('fetch a -- --full -x'), ['a', '--full', '-x']);
  t.deepEqual(parse('fetch a -- --full').argv, ['a', '--', '--full']);
});

test('unknown options are left to yargs', (t) => {
  t.deepEqual(parse('fetch --bogus a --other=1 -z').argv, ['a', '--bogus', '--other=1', '-z']);
});

test('a signature belongs to the image before it', (t) => {
  t.deepEqual(parse('--debug fetch a --signature=s --full b c --signature t').operands, [
    { text: 'a', signature: 's' },
    { text: 'b' },
    { text: 'c', signature: 't' },
  ]);
});

for (const [line, message] of [
  ['fetch --signature s a', /--signature: must follow an image/],
  ['--signature s fetch a', /--signature: must follow an image/],
  ['fetch a --signature s --signature t', /--signature: given twice for "a"/],
  ['fetch a --signature', /--signature: needs a value/],
  ['fetch a --dir', /--dir: needs a value/],
  ['fetch a --dir=', /--dir: needs a value/],
  ['fetch a --progress=loud', /--progress: want auto, tty, plain, json, none, got "loud"/],
  ['fetch a --no-deps=maybe', /--no-deps: want 1, true/],
] as const) {
  test(`${line} is a usage error`, (t) => {
    t.like(
      t.throws(() => parse(line)),
      { code: 'USAGE' },
    );
    t.regex(t.throws(() => parse(line)).message, message);
  });
}

test('the empty list of insecure options is a value', (t) => {
  t.deepEqual(texts('fetch --insecure-options= a', 'insecure-options'), ['']);
});

test('the environment is used for options that the command line leaves out', (t) => {
  const environment = { LONGSHORE_JOBS: '3', LONGSHORE_NO_DEPS: 'yes', LONGSHORE_DIR: '' };
  t.deepEqual(parse('fetch a', environment).argv, ['a', '--no-deps=true', '--jobs=3']);
  t.deepEqual(parse('fetch a --jobs 5 --no-deps=no', environment).argv, ['a', '--no-deps=false', '--jobs=5']);
});

test('a repeated option has one value a line in the environment, and a flag replaces them all', (t) => {
  const environment = { LONGSHORE_DENY_NET: '10.0.0.0/8\nfd00::/8\n' };
  t.deepEqual(texts('fetch a', 'deny-net', environment), ['10.0.0.0/8', 'fd00::/8']);
  t.deepEqual(texts('fetch a --deny-net 127.0.0.0/8', 'deny-net', environment), ['127.0.0.0/8']);
});

test('named values of the environment are kept next to those with other names', (t) => {
  const environment = { LONGSHORE_LIMIT: 'manifest=1\nnodes=2' };
  t.deepEqual(texts('fetch a --limit nodes=3', 'limit', environment), ['manifest=1', 'nodes=2', 'nodes=3']);
});

test('a variable of another command is neither used nor unknown', (t) => {
  const environment = { LONGSHORE_JOBS: '3' };
  t.deepEqual(parse('image list', environment).argv, []);
  t.deepEqual(environmentWarnings(optionTable, environment), []);
});

test('a bad variable is named in the message', (t) => {
  t.regex(t.throws(() => parse('fetch a', { LONGSHORE_PROGRESS: 'x' })).message, /^LONGSHORE_PROGRESS: /);
});

test('an option with choices of its own for a command is read by those', (t) => {
  t.deepEqual(texts('plan a --output=dot', 'output'), ['dot']);
  t.deepEqual(texts('fetch a', 'output', { LONGSHORE_OUTPUT: 'json' }), ['json']);
  t.throws(() => parse('fetch a --output=dot'), { message: /want text, json, got "dot"/ });
});

test('variables without an option are unknown, and --signature has no variable', (t) => {
  const environment = { LONGSHORE_JOB: '3', LONGSHORE_SIGNATURE: 's', LONGSHORE_JOBS: '1', OTHER: '' };
  t.deepEqual(environmentWarnings(optionTable, environment), [
    'LONGSHORE_JOB is in the environment, but there is no such option; did you mean LONGSHORE_JOBS?',
    'LONGSHORE_SIGNATURE is in the environment, but there is no such option',
  ]);
});

test('every option has help, and no two of a command share a name or a letter', (t) => {
  for (const command of commandNames) {
    const own = optionTable.filter((spec) => appliesTo(spec, command));
    const letters = own.flatMap(({ short }) => short ?? []);
    t.is(new Set(own.map(({ name }) => name)).size, own.length, command);
    t.is(new Set(letters).size, letters.length, command);
  }
  t.true(optionTable.every(({ help }) => help.length > 0));
});

const isPlainLine = (line: string): boolean => {
  const { command, argv } = parseCommandLine(line.split(' '), optionTable, {});
  const found = commands.find(({ name }) => name === command);
  return found !== undefined && isPlain(found, argv);
};

for (const line of [
  'fetch a b -f list --jobs 3 -j2 --no-deps',
  'plan',
  'image list',
  'image show a',
  'image rm a b c',
  'image export a -',
  'image export -f list a',
]) {
  test(`plain: ${line}`, (t) => t.true(isPlainLine(line)));
}

for (const line of [
  'fetch --help',
  'fetch -h',
  'fetch --version',
  'fetch --nonsense',
  'fetch -x',
  'fetch --sort=name',
  'fetch -- --a',
  'image list a',
  'image show',
  'image show a b',
  'image rm',
  'image export',
]) {
  test(`for yargs: ${line}`, (t) => t.false(isPlainLine(line)));
}

test('yargs accepts what counts as plain', async (t) => {
  const option = fc.constantFrom(
    ...optionTable.map(({ name, kind }) => (kind === 'flag' ? `--${name}` : `--${name}=1`)),
  );
  const word = fc.oneof(option, fc.constantFrom('a', '-', '1', '0x1', 'a b', 'ü', './list', '--x', '-h', '--', ''));
  let plain = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...commands), fc.array(word, { maxLength: 4 }), async (command, words) => {
      const line = accepted(() => parseCommandLine([...command.name.split(' '), ...words], optionTable, {}));
      if (!line || line.command !== command.name || !isPlain(command, line.argv)) return;
      plain += 1;
      t.is(await checkArguments(command, line.argv), undefined, line.argv.join(' '));
    }),
    { numRuns: 2_000 },
  );
  t.true(plain > 100, String(plain));
});

function accepted<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined; // a value that the option does not take, refused before yargs would see it
  }
}
