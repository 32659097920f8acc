import { join } from 'node:path';

import { openDockerRegistry } from '../../test/helpers/docker-registry.ts';
import { type Longshore, openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';
import { pushImages } from './registry.ts';

/**
 * Fifty images of ten layers, eight of which are shared, from a store into an empty registry: by skopeo, which reads the store as an
 * OCI layout, one after the other, by longshore in one batch, and by the least that Node can do. The registries' files stay until the end:
 * ext4 without a journal passes over what was removed within the last minutes bit by bit, which slows the next registry down.
 *
 * @throws when longshore sends a blob twice.
 */
export async function push({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [count, layerBytes] = small ? [4, 50_000] : [50, 2_000_000];
  const longshores = await openLongshores(directory);
  const references = await fillStores(longshores, directory, { count, layerBytes });

  const [first] = longshores;
  const skopeo = async (): Promise<Measured> => {
    await using target = await openDockerRegistry({ leftIn: directory });
    const copy = 'skopeo copy --quiet --insecure-policy --dest-tls-verify=false';
    const each = references.map((reference) => {
      const name = reference.replace(/^[^/]*\//, '');
      return `${copy} 'oci:${first?.store ?? ''}:${reference}' docker://${target.host}/${name}`;
    });
    return await measure(['bash', '-ec', each.join('\n')]);
  };
  const pushOnce = async ({ run }: Longshore): Promise<Measured> => {
    await using target = await openDockerRegistry({ leftIn: directory });
    const measured = await run(['push', '--all', '--progress=none', '--to', `docker://${target.host}`]);
    const received = target.takeReceived();
    if (received.length !== new Set(received).size) throw new Error('a blob was sent more than once');
    return measured;
  };
  const floor = async (): Promise<Measured> => {
    await using target = await openDockerRegistry({ leftIn: directory });
    const script = join(import.meta.dirname, '../push-floor.ts');
    return await measure([process.execPath, script, first?.store ?? '', target.host, '16']);
  };
  return await takeTurns(
    [
      { who: 'skopeo copy, one by one', run: skopeo },
      { who: 'floor: the same requests', isFloor: true, run: floor },
      ...longshores.map((one) => ({ who: `longshore push${one.label}`, run: () => pushOnce(one) })),
    ],
    turns,
  );
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
