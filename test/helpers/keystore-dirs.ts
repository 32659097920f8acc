import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import type { ExecutionContext } from 'ava';

/** Directories for a keystore, system, local and user, in a temporary place that goes with the test. */
export async function keystoreDirs(t: ExecutionContext): Promise<readonly [string, string, string]> {
  const base = await mkdtemp(join(tmpdir(), 'keystore-'));
  t.teardown(() => rm(base, { recursive: true, force: true }));
  return [join(base, 'system'), join(base, 'local'), join(base, 'user')];
}

/** Puts a file below `trustedkeys`. */
export async function putKey(dir: string, place: string, content: string | Uint8Array): Promise<string> {
  const path = join(dir, 'trustedkeys', place);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}
