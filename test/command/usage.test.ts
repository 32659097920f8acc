import test from 'ava';

import { commands } from '../../src/cli/commands.ts';
import { appliesTo, commandNames, optionGroups } from '../../src/cli/options/option.ts';
import { optionTable } from '../../src/cli/options/table.ts';
import { runHere } from '../helpers/run-here.ts';
import { openShell } from '../helpers/shell.ts';

const usage: readonly (readonly [line: string, message: RegExp])[] = [
  ['fetch', /name at least one image/],
  ['fetch a --store-only --no-store', /both --store-only and --no-store specified/],
  ['fetch a --store-only --pull-policy=update', /both --store-only and --pull-policy specified/],
  ['fetch --signature s a', /--signature: must follow an image/],
  ['fetch a --signature s --signature t', /--signature: given twice for "a"/],
  ['fetch a --bogus', /Unknown argument: bogus/],
  ['fetch a --no-bogus', /Unknown argument: no-bogus/],
  ['fetch a --bogus --prgress=none', /Unknown arguments: bogus, prgress; did you mean --progress\? See --help\.$/m],
  ['fetch a --job 3', /Unknown argument: job; did you mean --jobs\?/],
  ['fetch a --all', /Unknown argument: all\. /],
  ['fetch a --hlep', /Unknown argument: hlep; did you mean --help\?/],
  ['--versoin', /Unknown argument: versoin; did you mean --version\?/],
  ['-V', /Unknown argument: V\. /],
  ['--job 3 fetch a', /Unknown argument: job; did you mean --jobs\?/],
  ['--bogus=1 --dri d', /Unknown arguments: bogus, dri; did you mean --dir\?/],
  ['image --bogus', /Unknown argument: bogus\. /],
  ['fetch a --progress plian', /got "plian"; did you mean plain\?/],
  ['fetch a --keep=oic', /want aci, oci, both, got "oic"; did you mean oci\?/],
  ['fetch a --jobs', /--jobs: needs a value/],
  ['fetch a --jobs=0', /--jobs: want "auto" or a whole number from 1/],
  ['fetch a --limit manifest=1X', /--limit manifest: want digits/],
  ['fetch a --limit nothing=1', /--limit: no such name "nothing".*[a-z]\. See --help/],
  ['fetch a --limit archve=1', /no such name "archve".*; did you mean archive\? See --help/],
  ['fetch a --timeout stal=1s', /no such name "stal".*; did you mean stall\?/],
  ['fetch a --timeout stall=20', /--timeout stall: want a number with ms, s, m or h/],
  ['fetch a --deny-net 10.0.0.0/40', /--deny-net: want an address block/],
  ['fetch a --connect-to a:b', /--connect-to: want HOST:PORT:ADDRESS:PORT/],
  ['fetch a --discover example.com', /--discover: want NAME=VALUE/],
  ['fetch a --insecure-options image,tls,image', /--insecure-options: duplicated option "image"/],
  ['fetch a --insecure-options=nonsense', /--insecure-options: unknown option "nonsense"/],
  ['fetch a --insecure-options=pubky', /unknown option "pubky".*; did you mean pubkey\?/],
  ['fetch a --limit-rate 0', /--limit-rate: a rate of 0/],
  ['fetch a --limit-rate a.example=0', /--limit-rate: a rate of 0/],
  ['fetch a --limit-rate http://a.example=1M', /--limit-rate: want RATE or HOST=RATE/],
  ['fetch a --progress loud', /--progress: want auto, tty/],
  ['fetch a --ca-file /nonexistent', /--ca-file: cannot use "\/nonexistent": it is not there/],
  ['fetch a --events /nonexistent/events', /--events: cannot write "\/nonexistent\/events"/],
  ['ftech a', /no command "ftech"; there are fetch, .*; did you mean fetch\?/],
  ['image frobnicate', /no command "image frobnicate"; there are image list, .*image verify\. /],
  ['image lsit', /no command "image lsit".*; did you mean image list\?/],
  ['images list', /no command "images"; there are fetch, .*; did you mean image list\?/],
  ['image list --sort=sise', /got "sise"; did you mean size\?/],
  ['image list --fields=id,nam', /got "nam"; did you mean name\?/],
  ['trust lits', /--root required.*; did you mean trust list\?/],
  ['trust key.asc', /--root required for non-prefixed/],
  ['trust key.asc --root --prefix a', /mutually exclusive/],
  ['trust key.asc --prefix https://a', /must not contain a URL scheme, omit https:\/\//],
  ['trust remove', /Not enough non-option arguments/],
  ['trust remove abc', /is not a fingerprint/],
];

for (const [line, message] of usage) {
  test(`longshore ${line} ends with 2, gives the reason in one line, and prints nothing else`, async (t) => {
    const { code, stdout, stderr } = await runHere(line.split(' '));
    t.deepEqual([code, stdout], [2, '']);
    t.regex(stderr, /^error: USAGE: [^\n]+\n$/);
    t.regex(stderr, message);
  });
}

test('a bad value in the environment is a usage error that names the variable', async (t) => {
  for (const [name, message] of [
    ['LONGSHORE_JOBS', /LONGSHORE_JOBS: want "auto" or a whole number/],
    ['LONGSHORE_FAIL_FAST', /LONGSHORE_FAIL_FAST: want 1, true/],
  ] as const) {
    const { code, stderr } = await runHere(['fetch', 'a'], { [name]: 'many' });
    t.is(code, 2);
    t.regex(stderr, message);
  }
});

test.serial(
  'all references that do not parse are named at once, also those of lists, and nothing is fetched',
  async (t) => {
    const { run } = await openShell(t);
    const lines = `printf 'ftp://a/b\\nexample.com/good\\nsha512-x signature=\\n' > list;`;
    const { code, stdout, stderr } = await run(
      `${lines} longshore fetch gopher://c example.com/good -f list; code=$?; ls; exit $code`,
    );
    t.is(code, 2);
    t.is(stdout, 'list\nlongshore\n');
    const asked = stderr
      .trimEnd()
      .split('\n')
      .map((line) => line.split(': ').slice(1, 3).join(': '));
    t.is(asked.length, 3, stderr);
    t.true(asked.some((line) => line.startsWith('gopher://c')));
    t.true(asked.some((line) => line.startsWith('list, line 1: ftp://a/b')));
  },
);

test('longshore alone prints usage on stderr and ends with 2', async (t) => {
  const { code, stdout, stderr } = await runHere([]);
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /longshore fetch \[IMAGE\.\.\.\] /);
});

test.serial('help is written to stdout, with examples, and is a success', async (t) => {
  const { run } = await openShell(t);
  const whole = await run('longshore --help');
  t.deepEqual([whole.code, whole.stderr], [0, '']);
  const fetch = await run('longshore fetch --help');
  t.deepEqual([fetch.code, fetch.stderr], [0, '']);
  for (const part of [/--no-store/, /-j, --jobs/, /Examples:/, /longshore fetch -f images\.txt/])
    t.regex(fetch.stdout, part);
});

test('an example in the help is a command that a shell takes, broken before options only', async (t) => {
  for (const { name, examples } of commands) {
    const { stdout } = await runHere([...name.split(' '), '--help']);
    const shown = stdout.slice(stdout.indexOf('Examples:'));
    t.true(shown.split('\n').every((line) => line.length <= 100));
    const lines = shown.replaceAll(/ \\\n {4}(?=--?[a-z])/g, ' ').split('\n');
    for (const [line] of examples) t.true(lines.includes(`  longshore ${line}`), line);
  }
});

test('help lists every option of a command once, in groups, beginning with the purpose of the command', async (t) => {
  t.deepEqual(commands.map(({ name }) => name).toSorted(), commandNames.toSorted());
  for (const { name } of commands) {
    const { code, stdout } = await runHere([...name.split(' '), '--help']);
    t.is(code, 0);
    const lines = stdout
      .split('\n')
      .map((line) => /^(\w.*):$|^ {2}(?: {4}|-\w, )--([a-z-]+)/.exec(line)?.slice(1) ?? []);
    const names = lines.flatMap(([, option]) => option ?? []);
    const own = optionTable.filter((spec) => appliesTo(spec, name)).map((spec) => spec.name);
    t.deepEqual(names.toSorted(), [...own, 'help', 'version'].toSorted(), name);
    const titles = lines.flatMap(([title]) => title ?? []);
    t.deepEqual(titles, [...optionGroups.filter((group) => titles.includes(group)), 'Examples'], name);
  }
  const { stdout } = await runHere(['fetch', '--help']);
  for (const group of [
    /^What to fetch:\n.*--from-file/m,
    /^Network:\n.*--mirror/m,
    /^Trust:\n.*--signature/m,
    /^Store:\n.*--keep/m,
    /^Output:\n.*--progress/m,
  ])
    t.regex(stdout, group);
});

test.serial('the version is printed alone', async (t) => {
  const { run } = await openShell(t);
  for (const line of ['longshore --version', 'longshore fetch --version', 'longshore image --version']) {
    const { code, stdout, stderr } = await run(line);
    t.is(code, 0);
    t.regex(stdout, /^\d+\.\d+\.\d+\n$/);
    t.is(stderr, '');
  }
});

test.serial('an empty list is an empty batch', async (t) => {
  const { run } = await openShell(t);
  const { code, stdout } = await run(`longshore fetch -f /dev/null --output=json`);
  t.is(code, 0);
  t.like(JSON.parse(stdout), { images: [], nodes: [] });
});
