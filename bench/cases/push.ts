import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { openDockerRegistry } from '../../test/helpers/docker-registry.ts';
import { type Longshore, openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';
import { pushImages } from './registry.ts';

/**
 * Fifty images of ten layers, eight of which are shared, from a store into an empty registry: by skopeo, which reads the store as an
 * OCI layout, one after the other, by longshore in one batch, and by the least that Node can do.
 *
 * @param options - `delayMs`: how much later each answer of the registry comes.
 * @throws when longshore sends a blob twice.
 */
export async function push({
  directory,
  turns,
  small,
  delayMs,
}: CaseOptions & { readonly delayMs: number }): Promise<readonly Row[]> {
  const [count, layerBytes] = small ? [4, 50_000] : [50, 2_000_000];
  const longshores = await openLongshores(directory);
  const references = await fillStores(longshores, directory, { count, layerBytes });

  const [first] = longshores;
  /** Measures a command that fills an empty registry. */
  const into = async (run: (host: string) => Promise<Measured>): Promise<Measured> => {
    await using target = await openTarget(directory, delayMs);
    const measured = await run(target.host);
    const received = target.takeReceived();
    if (received.length !== new Set(received).size) throw new Error('a blob was sent more than once');
    return measured;
  };
  const skopeo = (host: string): Promise<Measured> => {
    const copy = 'skopeo copy --quiet --insecure-policy --dest-tls-verify=false';
    const each = references.map((reference) => {
      const name = reference.replace(/^[^/]*\//, '');
      return `${copy} 'oci:${first?.store ?? ''}:${reference}' docker://${host}/${name}`;
    });
    return measure(['bash', '-ec', each.join('\n')]);
  };
  const floor = (host: string): Promise<Measured> =>
    measure([process.execPath, join(import.meta.dirname, '../push-floor.ts'), first?.store ?? '', host, '16']);
  return await takeTurns(
    [
      { who: 'skopeo copy, one by one', run: () => into(skopeo) },
      { who: 'floor: the same requests', isFloor: true, run: () => into(floor) },
      ...longshores.map(({ label, run }) => ({
        who: `longshore push${label}`,
        run: () => into((host) => run(['push', '--all', '--progress=none', '--to', `docker://${host}`])),
      })),
    ],
    turns,
  );
}

type Target = AsyncDisposable & { readonly host: string; readonly takeReceived: () => readonly string[] };

/**
 * An empty registry. Its files stay until the end of the case: ext4 without a journal passes over what was removed within the last
 * minutes bit by bit, which slows the next registry down.
 */
async function openTarget(directory: string, delayMs: number): Promise<Target> {
  const registry = await openDockerRegistry({ leftIn: directory });
  if (delayMs === 0) return registry;
  const script = join(import.meta.dirname, '../relay.ts');
  const [, port = ''] = registry.host.split(':');
  const relay = spawn(process.execPath, [script, port, String(delayMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(relay.stdout, 'data')) as [Buffer];
  return {
    host: `127.0.0.1:${line.toString().trim()}`,
    takeReceived: () => registry.takeReceived(),
    async [Symbol.asyncDispose]() {
      relay.kill('SIGKILL');
      await registry[Symbol.asyncDispose]();
    },
  };
}

/** Fills the store of each command with the same images. @returns their references in it */
async function fillStores(
  longshores: readonly Longshore[],
  directory: string,
  corpus: Parameters<typeof pushImages>[2],
): Promise<readonly string[]> {
  await using origin = await openDockerRegistry({ leftIn: directory });
  const references = (await pushImages(origin, directory, corpus)).map((name) => `${origin.host}/${name}`);
  const options = ['--insecure-options=image', '--platform=linux/amd64', '--keep=oci'];
  for (const { fetch } of longshores)
    await fetch(
      references.map((reference) => `docker://${reference}`),
      options,
    );
  return references;
}
