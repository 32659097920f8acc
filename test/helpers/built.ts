import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** Most of a short process's life is the compilation of its sources. */
export const compileCache = join(root, 'node_modules/.cache/longshore-test');

/**
 * A file of the command as it is published, since what works from source may fail in the bundle. `FROM_SOURCE=1` in the
 * environment stands for the sources, while one works on them.
 *
 * @throws where `dist` is older than what it is made of.
 */
export function commandFile(name: 'bin' | 'run'): string {
  if (process.env['FROM_SOURCE']) return join(root, `src/cli/${name}.ts`);
  const path = join(root, `dist/src/cli/${name}.js`);
  const builtMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newer = sources().find((source) => statSync(join(root, source)).mtimeMs > builtMs);
  if (newer !== undefined) {
    throw new Error(`dist is older than ${newer}: npm run build, or set FROM_SOURCE=1 to test the sources`);
  }
  return path;
}

/** What `dist` is made of; directories too, which change when a file is taken away. */
function sources(): string[] {
  const files = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'rolldown.config.js'];
  const folders = ['src', 'workers'];
  const inside = (folder: string) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return [...files, ...folders, ...folders.flatMap((folder) => inside(folder).map((path) => join(folder, path)))];
}
