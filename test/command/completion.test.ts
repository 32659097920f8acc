import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { commandNames } from '../../src/cli/options/option.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const execute = promisify(execFile);

async function isThere(program: string): Promise<boolean> {
  return execute('/bin/sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
}

/** A directory with a file, a folder and the script for a shell. */
async function scriptFor(t: ExecutionContext, shell: string) {
  const directory = await temporaryDirectory(t);
  const { code, stdout, stderr } = await runHere(['completion', shell]);
  t.deepEqual([code, stderr], [0, '']);
  await mkdir(join(directory, 'images.d'));
  await writeFile(join(directory, 'images list.txt'), '');
  await writeFile(join(directory, 'script'), stdout);
  return directory;
}

/** What is typed, split as bash splits it, and what it is completed to. */
const completions: readonly (readonly [words: readonly string[], ...expected: string[]])[] = [
  [['fe'], 'fetch'],
  [['p'], 'plan', 'push'],
  [['image', 'ex'], 'export', 'extract'],
  [['trust', 're'], 'remove'],
  [['completion', ''], 'bash', 'zsh', 'fish'],
  [['--debug', 'completion', 'b'], 'bash'],
  [['--dir', 'image', 'fe'], 'fetch'],
  [['fetch', '--no-'], '--no-store', '--no-deps'],
  [['fetch', 'a', '--progr'], '--progress'],
  [['fetch', '--keep', ''], 'aci', 'oci', 'both'],
  [['fetch', '--keep', '=', 'o'], 'oci'],
  [['fetch', '--keep', '='], 'aci', 'oci', 'both'],
  [['plan', '--output', 'd'], 'dot'],
  [['fetch', '--output', 'd']],
  [['fetch', '--jobs', '']],
  [['fetch', '--insecure-options', 'i'], 'image'],
  [['fetch', '--insecure-options', 'image,t'], 'image,tls'],
  [['fetch', '--insecure-options', '=', 'tls,image,i']],
  [['image', 'list', '--fields', '=', 'name,i'], 'name,id', 'name,importtime'],
  [['image', 'list', '--sort', 'i'], 'importtime'],
  [['image', 'list', '--to']],
  [['push', '--t'], '--to', '--timeout', '--trust-keys-from-https'],
  [['fetch', '-f', 'im'], 'images list.txt', 'images.d'],
  [['fetch', 'im'], 'images list.txt', 'images.d'],
  [['--dir', 'im'], 'images.d'],
  [['push', 'im']],
];

test('bash completes commands, options, choices and files', async (t) => {
  const directory = await scriptFor(t, 'bash');
  const cases = completions.map(([words]) => {
    const quoted = ['longshore', ...words].map((word) => `'${word}'`).join(' ');
    return `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _longshore; printf '%s|' "\${COMPREPLY[@]}"; echo`;
  });
  const script = `set -u; source ./script; complete -p longshore >&2; ${cases.join('\n')}`;
  const { stdout, stderr } = await execute('bash', ['-c', script], { cwd: directory });
  t.is(stderr, 'complete -F _longshore longshore\n');
  const found = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('|').filter(Boolean).toSorted());
  for (const [index, [words, ...expected]] of completions.entries())
    t.deepEqual(found[index], expected.toSorted(), words.join(' '));
});

test('fish completes the same', async (t) => {
  if (!(await isThere('fish'))) {
    t.pass('fish is not installed');
    return;
  }
  const directory = await scriptFor(t, 'fish');
  const asked = completions.filter(([words]) => !words.includes('='));
  const lines = asked.map(([words]) => `complete -C 'longshore ${words.join(' ')}'; echo ==`);
  const script = `source script; ${lines.join('\n')}`;
  const { stdout } = await execute('fish', ['--no-config', '-c', script], {
    cwd: directory,
    env: { ...process.env, HOME: directory },
  });
  const found = stdout.split('==\n').map((part) =>
    part
      .split('\n')
      .filter(Boolean)
      .map((line) => line.replace(/\t.*$/, '')),
  );
  for (const [index, [words, ...expected]] of asked.entries()) {
    const names = (found[index] ?? []).map((name) => name.replace(/\/$/, ''));
    const own = words.at(-1)?.startsWith('-') ? names.filter((name) => name.startsWith('--')) : names;
    t.deepEqual(own.toSorted(), expected.toSorted(), words.join(' '));
  }
});

test('zsh accepts its script, which completes the command', async (t) => {
  if (!(await isThere('zsh'))) {
    t.pass('zsh is not installed');
    return;
  }
  const directory = await scriptFor(t, 'zsh');
  await execute('zsh', ['-n', 'script'], { cwd: directory });
  const script = `
    autoload -Uz compinit; compinit -u -D; source ./script; echo "$_comps[longshore]"
    # what the parts of completion are given
    _describe() { shift 3; print -l -- "\${(@P)1}" }
    _arguments() { shift; print -l -- "$@" }
    for line in 'longshore fe' 'longshore image ex' 'longshore --dir image fetch --keep'; do
      words=(\${(z)line}); CURRENT=$#words; echo "== $line"; _longshore
    done`;
  const { stdout, stderr } = await execute('zsh', ['-f', '-c', script], { cwd: directory });
  t.is(stderr, '');
  const [name, first = '', second = '', third = ''] = stdout.split(/^== .*$/m);
  t.is(name, '_longshore\n');
  t.regex(first, /^fetch:Bring images/m);
  t.regex(second, /^export:Write images/m);
  t.notRegex(second, /^fetch:/m);
  t.regex(third, /^--keep=\[.*\]:value:\(aci oci both\)$/m);
  t.regex(third, /^\*: :_files$/m);
});

test('at the prompt of zsh, words, options and values are completed, of every kind of command', async (t) => {
  if (!(await isThere('zsh'))) {
    t.pass('zsh is not installed');
    return;
  }
  const directory = await scriptFor(t, 'zsh');
  const lines = {
    'longshore fe': 'fetch ',
    'longshore image li': 'image list ',
    'longshore image list --so': 'image list --sort=',
    'longshore image rm example.com/app --deb': 'image rm example.com/app --debug ',
    'longshore push --scop': 'push --scoped ',
    'longshore push --to docker://x --al': 'push --to docker://x --all ',
    'longshore fetch --pull-policy=u': 'fetch --pull-policy=update ',
    'longshore completion f': 'completion fish ',
  };
  await writeFile(join(directory, 'lines'), Object.keys(lines).join('\n'));
  await writeFile(
    join(directory, 'prompt'),
    `autoload -Uz compinit; compinit -u -D; source ./script; bindkey '^I' complete-word
     note() { print -r -- "$BUFFER|" >>noted; BUFFER= }; zle -N note; bindkey '^X' note
     print READ''Y`,
  );
  const script = `
    zmodload zsh/zpty || exit; zpty prompt zsh -f -i
    zpty -w prompt 'source ./prompt'; zpty -r prompt text '*READY*'
    for line in "\${(@f)$(<lines)}"; do
      rm -f noted; zpty -w -n prompt "$line"$'\\t\\x18'
      until [[ -s noted ]]; do zpty -rt prompt text; sleep 0.05; done
      cat noted
    done`;
  const { stdout } = await execute('zsh', ['-f', '-c', script], { cwd: directory });
  t.deepEqual(
    stdout.trimEnd().split('\n'),
    Object.values(lines).map((line) => `longshore ${line}|`),
  );
});

test('each command is completed in each shell, and another shell is answered with those that there are', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await runHere(['completion', shell]);
    for (const name of commandNames)
      t.true(stdout.includes(name.includes(' ') ? `'${name}'` : name), `${shell}: ${name}`);
  }
  const { code, stdout, stderr } = await runHere(['completion', 'bahs']);
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /SHELL: want bash, zsh, fish, got "bahs"; did you mean bash\?/);
});
