import { glob, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

import test from 'ava';

const root = join(import.meta.dirname, '..');

/** Who may import whom; `types` allows `import type` alone. Every room may import `system`. What is not listed is forbidden. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  index: ['*'],
  library: ['*'],
  fleet: ['index', 'image', 'errors', 'types:events'],
  cli: ['index', 'fleet', 'lists', 'demo', 'bench', 'report', 'measure', 'serve'],
  demo: ['index', 'sample'],
  bench: ['index', 'sample', 'measure'],
  sample: [],
  report: ['image', 'errors', 'events', 'measure'],
  measure: ['types:events'],
  lists: ['image', 'errors'],
  coordinator: ['fetchers', 'image', 'errors', 'events'],
  images: ['store', 'pool', 'image', 'errors'],
  bundle: ['image'],
  export: ['images', 'bundle', 'store', 'image', 'errors'],
  fetchers: ['discovery', 'registry', 'verify', 'store', 'http', 'pool', 'image', 'errors', 'events', 'types:workers'],
  import: ['fetchers', 'registry', 'bundle', 'store', 'pool', 'image', 'errors', 'types:workers'],
  push: ['registry', 'store', 'http', 'image', 'errors', 'events'],
  serve: ['registry', 'store', 'image', 'errors'],
  discovery: ['http', 'image', 'errors'],
  registry: ['http', 'image', 'errors'],
  verify: ['pool', 'image', 'errors', 'types:workers'],
  http: ['image', 'errors', 'types:events'],
  store: ['image', 'errors'],
  pool: ['image', 'errors', 'types:workers'],
  workers: ['bundle', 'image', 'errors'],
  'index-writer': ['store'],
  'list-reader': ['lists', 'errors'],
  image: ['errors'],
  system: [],
  errors: [],
  events: ['types:errors'],
};

/** Parts of a room that know nothing of each other. */
const apart: readonly (readonly [string, string])[] = [['src/fetchers/archive/', 'src/fetchers/registry/']];

/** The room of a source file: a folder of src, `workers`, or for files directly in src their role. */
function roomOf(path: string): string {
  const [top, second, third] = path.split('/');
  if (path === 'workers/index-writer.ts') return 'index-writer'; // the thread in which the store's writer runs
  if (path === 'workers/list-reader.ts') return 'list-reader'; // the thread in which large lists are parsed
  if (top !== 'src') return top ?? '';
  if (third !== undefined) return second ?? '';
  return second === 'errors.ts' || second === 'events.ts' ? second.slice(0, -3) : 'index';
}

type Import = { readonly from: string; readonly to: string; readonly typeOnly: boolean };

async function importsOf(path: string): Promise<Import[]> {
  const text = await readFile(join(root, path), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)(?:import|export)\s+(type\s)?([^;]*?)\s*from '(\.[^']+)'|import\('(\.[^']+)'\)/g,
  );
  return Array.from(found, ([, type, names = '', fixed, lazy]) => ({
    from: path,
    to: normalize(join(dirname(path), fixed ?? lazy ?? '')),
    typeOnly: type !== undefined || areTypes(names),
  }));
}

/** Whether of `{ type A, type B }` each name is marked. */
function areTypes(names: string): boolean {
  const marked = /^\{([^}]*)\}$/
    .exec(names)?.[1]
    ?.split(',')
    .map((name) => name.trim());
  return marked?.filter(Boolean).every((name) => name.startsWith('type ')) === true;
}

function permissionFor({ from, to, typeOnly }: Import): string | undefined {
  const [here, there] = [roomOf(from), roomOf(to)];
  if (here === there) return here;
  if (there === 'system') return there;
  const wanted = ['*', there, ...(typeOnly ? [`types:${there}`] : [])];
  return wanted.find((one) => arrows[here]?.includes(one));
}

async function allImports(): Promise<readonly Import[]> {
  const sources = await Array.fromAsync(glob('{src,workers}/**/*.ts', { cwd: root }));
  return (await Promise.all(sources.map(importsOf))).flat();
}

/** What has gone wrong and how one comes there: the shortest way from what nobody imports, such as a program. */
function waysTo(wrong: readonly Import[], imports: readonly Import[]): readonly string[] {
  const imported = new Set(imports.map(({ to }) => to));
  const above = new Map<string, string | undefined>();
  const reached = [...new Set(imports.map(({ from }) => from))].filter((path) => !imported.has(path));
  for (const path of reached) above.set(path, undefined);
  const needs = Map.groupBy(imports, ({ from }) => from);
  for (const path of reached) {
    for (const { to } of needs.get(path) ?? []) {
      if (above.has(to)) continue;
      above.set(to, path);
      reached.push(to);
    }
  }
  const wayTo = (path: string): string => {
    const before = above.get(path);
    return before === undefined ? path : `${wayTo(before)} → ${path}`;
  };
  return wrong.map(({ from, to }) => `${wayTo(from)} → ${to}`);
}

test('imports run along the arrows only', async (t) => {
  const imports = await allImports();
  t.true(imports.length > 500);
  const forbidden = imports.filter((one) => permissionFor(one) === undefined);
  t.deepEqual(waysTo(forbidden, imports), []);
});

test('an arrow that nobody uses is taken away', async (t) => {
  const imports = await allImports();
  const used = new Set(imports.map((one) => `${roomOf(one.from)} → ${permissionFor(one) ?? 'nobody'}`));
  const listed = Object.entries(arrows).flatMap(([room, allowed]) => allowed.map((to) => `${room} → ${to}`));
  t.deepEqual(
    listed.filter((arrow) => !used.has(arrow)),
    [],
  );
});

test('archives and registries are fetched by parts that know nothing of each other', async (t) => {
  const imports = await allImports();
  for (const [one, other] of apart) {
    const wrong = imports.filter(
      ({ from, to }) =>
        (from.startsWith(one) && to.startsWith(other)) || (from.startsWith(other) && to.startsWith(one)),
    );
    t.deepEqual(waysTo(wrong, imports), []);
  }
});

test('no file imports, by way of others, itself, be it for types or later', async (t) => {
  const imports = Map.groupBy(await allImports(), ({ from }) => from);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    if (above.includes(path)) circles.push([...above.slice(above.indexOf(path)), path].join(' → '));
    if (done.has(path) || above.includes(path)) return;
    for (const { to } of imports.get(path) ?? []) visit(to, [...above, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
  t.deepEqual(circles, []);
});

test('packages are taken by the names that they export: other files of theirs may lack what their entry sets up', async (t) => {
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    dependencies: Readonly<Record<string, string>>;
  };
  const inner = new RegExp(`['"\`](?:[^'"\`]*node_modules/)?(?:${Object.keys(dependencies).join('|')})/[^'"\`]*`, 'g');
  const files = await Array.fromAsync(glob('{{src,workers}/**/*.ts,*.config.js}', { cwd: root }));
  const found = await Promise.all(files.map(async (path) => (await readFile(join(root, path), 'utf8')).match(inner)));
  t.deepEqual(found.flat().filter(Boolean), []);
});

test('a source file has at most 350 lines, a test at most 400', async (t) => {
  const files = await Array.fromAsync(glob('{src,workers,bench,test}/**/*.ts', { cwd: root }));
  const long = await Promise.all(
    files.map(async (path) => {
      const lines = (await readFile(join(root, path), 'utf8')).split('\n').length - 1;
      return lines > (path.startsWith('test/') ? 400 : 350) ? [`${path}: ${lines}`] : [];
    }),
  );
  t.deepEqual(long.flat(), []);
});

test('what runs the command as it is built is tested in test/command, or takes long: everything else tests sources', async (t) => {
  const running = new Set(['built', 'run-cli', 'run-here', 'shell'].map((name) => `test/helpers/${name}.ts`));
  const helpers = await Array.fromAsync(glob('test/helpers/*.ts', { cwd: root }));
  const imports = (await Promise.all(helpers.map(importsOf))).flat();
  for (const file of running) for (const { from, to } of imports) if (to === file) running.add(from);
  const tests = await Array.fromAsync(glob('test/**/*.test.ts', { cwd: root }));
  const rest = tests.filter((path) => !path.startsWith('test/command/') && !path.endsWith('.long.test.ts'));
  const wrong = (await Promise.all(rest.map(importsOf))).flat().filter(({ to }) => running.has(to));
  t.deepEqual(
    wrong.map(({ from, to }) => `${from} → ${to}`),
    [],
  );
});

test('a newcomer can find the way: 300 to 519 source files, 20 in a folder at most, of 70 to 120 lines in the median', async (t) => {
  const files = await Array.fromAsync(glob('{src,workers}/**/*.ts', { cwd: root }));
  t.true(files.length >= 300 && files.length <= 519, String(files.length));
  const folders = Map.groupBy(files, (path) => dirname(path));
  t.deepEqual(
    [...folders].filter(([, inside]) => inside.length > 20).map(([folder]) => folder),
    [],
  );
  const lengths = await Promise.all(
    files.map(async (path) => (await readFile(join(root, path), 'utf8')).split('\n').length - 1),
  );
  const median = lengths.sort((a, b) => a - b)[lengths.length >> 1] ?? 0;
  t.true(median >= 70 && median <= 120, String(median));
});
