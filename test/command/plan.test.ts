import { execFileSync } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startOrigin } from '../helpers/origin.ts';
import { runHere } from '../helpers/run-here.ts';
import { openShell } from '../helpers/shell.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const dependsOn = (...names: string[]) => names.map((imageName) => ({ imageName }));

/** A file that needs a and b, which both need c; a and c are in the store, b and `big` at the origin. */
async function planning(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const origin = await startOrigin(t);
  const c = await origin.publish({ name: 'example.com/c' });
  const a = await origin.publish({ name: 'example.com/a', dependencies: dependsOn('example.com/c') });
  const b = await origin.publish({ name: 'example.com/b', dependencies: dependsOn('example.com/c'), size: 2048 });
  const app = await buildAci({ name: 'example.com/app', dependencies: dependsOn('example.com/a', 'example.com/b') });
  await writeFile(at('app.aci'), app.bytes);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_DISCOVER: `example.com=${origin.url}`,
    LONGSHORE_RETRIES: '0',
  };
  const longshore = (...args: readonly string[]) => runHere(args, environment);
  return { at, origin, longshore, environment, a, b, c };
}

test('the tree shows which images are in the store, which would be fetched and from where, each node once, and totals', async (t) => {
  const { at, longshore, a, b, c } = await planning(t);
  await longshore('fetch', 'example.com/a');
  const { code, stdout } = await longshore('plan', at('app.aci'), 'example.com/a');
  t.is(code, 0);
  const short = (id: string): string => id.slice(0, 39);
  const lines = stdout.split('\n');
  t.is(
    lines.toSpliced(-3, 2).join('\n'),
    [
      `${at('app.aci')}: to fetch, 0 B`,
      `├─ example.com/a: present, ${short(a.imageId)}`,
      `│  └─ example.com/c: present, ${short(c.imageId)}`,
      `└─ example.com/b: to fetch, ${(b.bytes.length / 1024).toPrecision(3).replace(/\.?0+$/, '')} KiB, from ${b.url}`,
      '   └─ …: what it needs shows when it is fetched',
      `example.com/a: present, ${short(a.imageId)} (its tree is above)`,
      '',
      `4 images: 2 present, 2 to fetch; ${(b.bytes.length / 1024).toPrecision(3).replace(/\.?0+$/, '')} KiB to come; the dependencies of 1 are not known yet`,
      '',
    ].join('\n'),
  );
  t.is(lines.at(-3), 'downloads: 1; requests: about 3');
  t.regex(lines.at(-2) ?? '', /^disk: at least .* KiB, probably .* KiB, needed, .*B free$/);
});

test('JSON has requests, nodes and totals, and refers to dependencies by number', async (t) => {
  const { at, longshore, b } = await planning(t);
  const { code, stdout } = await longshore('plan', '--output=json', at('app.aci'), 'example.com/none');
  t.is(code, 4);
  type Plan = { images: { id: number; needs?: number[] }[]; nodes: { id: number; name?: string }[]; totals: object };
  const plan = JSON.parse(stdout) as Plan;
  t.like(plan, { schema: 'longshore.plan/1', totals: { images: 2, nodes: 4, absent: 3, failed: 1 } });
  t.like(plan.images[0], { index: 0, status: 'absent', name: 'example.com/app', bytesToFetch: 0 });
  t.like(plan.images[1], { index: 1, status: 'failed', error: { code: 'HTTP_STATUS' } });
  t.deepEqual(plan.images[0]?.needs?.toSorted(), plan.nodes.map(({ id }) => id).toSorted());
  t.true(plan.nodes.some((node) => 'source' in node && node.source === b.url && !('needs' in node)));
});

test('DOT has a node and an edge for each, and no outside text breaks out of a label', async (t) => {
  const { at, longshore } = await planning(t);
  const odd = at('a "b" \\n c.aci');
  await writeFile(odd, (await buildAci({ name: 'example.com/odd', dependencies: dependsOn('example.com/b') })).bytes);
  const { code, stdout } = await longshore('plan', '--output=dot', odd, odd);
  t.is(code, 0);
  const lines = stdout.trimEnd().split('\n');
  t.deepEqual([lines[0], lines.at(-1)], ['digraph plan {', '}']);
  t.is(lines.filter((line) => /^ {2}n\d+ \[label="(?:[^"\\]|\\.)*", style=dashed\];$/.test(line)).length, 2, stdout);
  t.is(lines.filter((line) => /^ {2}n\d+ -> n\d+;$/.test(line)).length, 1);
  t.regex(stdout, /a \\"b\\" \\\\n c\.aci/);
  try {
    execFileSync('dot', ['-Tplain'], { input: stdout, stdio: 'pipe' });
  } catch (error) {
    t.is((error as NodeJS.ErrnoException).code, 'ENOENT', String(error)); // Graphviz is not here
  }
});

test('a failure ends the plan as it would end the fetch', async (t) => {
  const { longshore, origin, at } = await planning(t);
  const { code, stderr, stdout } = await longshore('plan', `${origin.url}/none.aci`);
  t.is(code, 4);
  t.regex(stderr, /^error: .*none\.aci: HTTP_STATUS: .*404/m);
  t.regex(stdout, /none\.aci: failed: HTTP_STATUS\n/);
  t.is((await longshore('plan', '--store-only', 'example.com/b')).code, 4);
  t.is((await longshore('plan', at('app.aci'), '--progress=none')).code, 2);
  t.is((await longshore('fetch', at('app.aci'), '--output=dot')).code, 2);
  t.is((await longshore('plan', '--no-deps', '--insecure-options=none', at('app.aci'))).code, 5);
});

test.serial('from a shell a plan changes nothing, and accepts lists', async (t) => {
  const { at, environment, origin } = await planning(t);
  const { run, directory } = await openShell(t);
  const { LONGSHORE_INSECURE_OPTIONS, LONGSHORE_DISCOVER } = environment;
  const line = `printf '${at('app.aci')}\\nexample.com/c\\n' | longshore plan -f - --no-deps`;
  const { code, stdout } = await run(line, { LONGSHORE_INSECURE_OPTIONS, LONGSHORE_DISCOVER });
  t.is(code, 0);
  t.regex(stdout, /app\.aci: to fetch, 0 B\nexample\.com\/c: to fetch, .*\n\n2 images: 0 present, 2 to fetch; /);
  t.deepEqual(await readdir(directory), ['longshore']);
  t.false(origin.requests.some(({ method, url }) => method === 'GET' && url.endsWith('.aci')));
});
