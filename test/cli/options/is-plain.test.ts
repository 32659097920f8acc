import test from 'ava';
import fc from 'fast-check';

import { commands } from '../../../src/cli/commands.ts';
import { parseCommandLine } from '../../../src/cli/options/command-line.ts';
import { isPlain } from '../../../src/cli/options/is-plain.ts';
import { optionTable } from '../../../src/cli/options/table.ts';
import { checkArguments } from '../../../src/cli/parser.ts';

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
  'image export a',
]) {
  test(`for yargs: ${line}`, (t) => t.false(isPlainLine(line)));
}

test('what is plain yargs accepts', async (t) => {
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
