import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { commandFile } from './built.ts';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '../..');

type Lock = { readonly packages: Readonly<Record<string, { readonly dev?: boolean }>> };

/**
 * Packs the package and installs it into an empty directory, with what a lock file made from its dependencies would bring,
 * copied from this clone: no registry is asked.
 *
 * @returns the command, as npm links it.
 */
export async function installPacked(directory: string): Promise<string> {
  commandFile('bin'); // packed as it is, since other tests run it meanwhile
  await exec('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', directory], { cwd: root });
  const [tarball = ''] = (await readdir(directory)).filter((name) => name.endsWith('.tgz'));
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
  const modules = join(directory, 'node_modules');
  const own = join(modules, 'longshore');
  await mkdir(own, { recursive: true });
  await exec('tar', ['-xzf', tarball, '--strip-components=1', '-C', own], { cwd: directory });

  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const wanted = Object.keys(packages).filter((path) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path));
  for (const path of wanted.filter((name) => !packages[name]?.dev)) {
    // those of other platforms are not there
    await cp(join(root, path), join(directory, path), { recursive: true }).catch(ignoreMissing);
  }
  const { bin } = JSON.parse(await readFile(join(own, 'package.json'), 'utf8')) as { bin: { longshore: string } };
  await mkdir(join(modules, '.bin'));
  await symlink(join('../longshore', bin.longshore), join(modules, '.bin/longshore'));
  return join(modules, '.bin/longshore');
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
