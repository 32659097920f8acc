import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../helpers/environment.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

async function open(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const longshore = (...args: readonly string[]) => runHere(args, environmentIn(directory));
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  return { directory, longshore, write };
}

test('what one line cannot say is a comment in the text that list prints, and whole in its JSON', async (t) => {
  const { directory, longshore, write } = await open(t);
  const images = [
    { reference: './with space.aci' },
    { reference: './#a.aci' },
    { reference: 'https://example.com/a.aci?build=1' },
    { reference: 'https://EXAMPLE.com/a.aci', signature: 'a b.asc' },
    { reference: 'docker://example.com/a:1', platforms: ['linux/amd64', 'linux/arm64'], keep: 'both' },
    { reference: `./${'long'.repeat(400)}.aci` },
  ];
  const list = await write('list.json', JSON.stringify({ schema: 'longshore.list/1', images }));
  const { code, stdout, stderr } = await longshore('list', list);
  t.deepEqual([code, stderr], [0, '']);
  const lines = stdout.trimEnd().split('\n');
  t.deepEqual(lines.slice(0, 5), [
    `# ${directory}/with space.aci: only --output=json can have it`,
    `${directory}/#a.aci`,
    '# https://example.com/a.aci: only --output=json can have it',
    `# https://example.com/a.aci signature=${directory}/a b.asc: only --output=json can have it`,
    'docker://example.com/a:1 # platforms linux/amd64,linux/arm64, keep both',
  ]);
  t.regex(lines[5] ?? '', /^# .*long\w*…: only --output=json can have it$/);
  const again = await longshore('list', await write('again.txt', stdout));
  t.deepEqual([again.code, again.stdout], [0, `${directory}/#a.aci\ndocker://example.com/a:1\n`]);
  const json = await longshore('list', '--output=json', list);
  const whole = await longshore('list', '--output=json', await write('again.json', json.stdout));
  const named = ({ stdout }: { readonly stdout: string }) =>
    (JSON.parse(stdout) as { references: { readonly places: unknown }[] }).references.map(
      ({ places: _, ...one }) => one,
    );
  t.deepEqual(named(whole), named(json));
});

test('a type before a list that is misspelt is asked about', async (t) => {
  const { longshore } = await open(t);
  const { code, stderr } = await longshore('list', 'kuberentes:pods.yaml');
  t.is(code, 4);
  t.regex(stderr, /FILE_NOT_FOUND: there is no list kuberentes:pods\.yaml; did you mean kubernetes:\?/);
  t.notRegex((await longshore('list', 'pods.yaml')).stderr, /did you mean/);
});
