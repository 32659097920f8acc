import { glob, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

import test from 'ava';

const root = join(import.meta.dirname, '..');

/** Who may import whom; `types` allows `import type` alone. Every room may import `system`. What is not listed is forbidden. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  index: ['*'],
  cli: ['index', 'lists', 'demo', 'bench', 'report'],
  demo: ['index', 'sample'],
  bench: ['index', 'sample'],
  sample: [],
  report: ['image', 'errors', 'events'],
  lists: ['image', 'errors'],
  coordinator: ['fetchers', 'store', 'image', 'errors', 'events'],
  images: ['store', 'pool', 'image', 'errors'],
  fetchers: ['discovery', 'registry', 'verify', 'store', 'http', 'pool', 'image', 'errors', 'events', 'types:workers'],
  discovery: ['http', 'image', 'errors'],
  registry: ['http', 'image', 'errors'],
  verify: ['pool', 'image', 'errors', 'types:workers'],
  http: ['image', 'errors', 'events'],
  store: ['image', 'errors', 'types:workers'],
  pool: ['image', 'errors', 'types:workers'],
  workers: ['image', 'errors'],
  image: ['errors'],
  system: [],
  errors: [],
  events: ['types:errors'],
};

/** The room of a source file: a folder of src, `workers`, or for files directly in src their role. */
function roomOf(path: string): string {
  const [top, second, third] = path.split('/');
  if (top !== 'src') return top ?? '';
  if (third !== undefined) return second ?? '';
  return second === 'errors.ts' || second === 'events.ts' ? second.slice(0, -3) : 'index';
}

type Import = { readonly from: string; readonly to: string; readonly typeOnly: boolean };

async function importsOf(path: string): Promise<Import[]> {
  const text = await readFile(join(root, path), 'utf8');
  const found = text.matchAll(/(?:^|\n)(?:import|export)\s+(type\s)?[^;]*?from '(\.[^']+)'|import\('(\.[^']+)'\)/g);
  return Array.from(found, ([, type, fixed, lazy]) => ({
    from: path,
    to: normalize(join(dirname(path), fixed ?? lazy ?? '')),
    typeOnly: type !== undefined,
  }));
}

function isAllowed({ from, to, typeOnly }: Import): boolean {
  const [here, there] = [roomOf(from), roomOf(to)];
  const allowed = arrows[here] ?? [];
  return (
    here === there ||
    there === 'system' ||
    allowed.includes('*') ||
    allowed.includes(there) ||
    (typeOnly && allowed.includes(`types:${there}`))
  );
}

test('imports run along the arrows only', async (t) => {
  const sources = await Array.fromAsync(glob('{src,workers}/**/*.ts', { cwd: root }));
  t.true(sources.length > 50);
  const imports = (await Promise.all(sources.map(importsOf))).flat();
  const wrong = imports.filter((found) => !isAllowed(found)).map(({ from, to }) => `${from} imports ${to}`);
  t.deepEqual(wrong, []);
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
