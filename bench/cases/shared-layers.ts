import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { openDockerRegistry, writeImageLayout } from '../../test/helpers/docker-registry.ts';
import { fetchImages } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { takeTurns, type Row } from '../take-turns.ts';
import { layer } from './registry.ts';

/**
 * Fifty images of ten layers, eight of which they share, out of a real registry: copied one after the other by skopeo into
 * one layout, and kept by longshore in one batch.
 *
 * @throws when longshore has a blob sent to it twice.
 */
export async function sharedLayers({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [count, layerBytes] = small ? [4, 50_000] : [50, 2_000_000];
  await using origin = await openDockerRegistry();
  const shared = await Promise.all(Array.from({ length: 8 }, (_, at) => layer(at, layerBytes)));
  const names = Array.from({ length: count }, (_, index) => `team/app-${index}:1`);
  for (const [index, name] of names.entries()) {
    const layout = join(directory, `layout-${index}`);
    const own = await Promise.all([1, 2].map((at) => layer(100 + 2 * index + at, layerBytes)));
    await writeImageLayout(layout, ['amd64'], [...shared, ...own]);
    await origin.push(layout, name);
    await rm(layout, { recursive: true });
  }

  const skopeo = async (): Promise<Measured> => {
    const target = join(directory, 'copied');
    await rm(target, { recursive: true, force: true });
    const copy = 'skopeo copy --quiet --insecure-policy --src-tls-verify=false';
    const each = names.map((name) => `${copy} docker://${origin.host}/${name} oci:${target}:${name.replace(':', '-')}`);
    return measure(['bash', '-ec', each.join('\n')]);
  };
  const longshore = async (): Promise<Measured> => {
    origin.takeSent();
    const references = names.map((name) => `docker://${origin.host}/${name}`);
    const options = ['--insecure-options=image', '--platform=linux/amd64', '--keep=oci'];
    const measured = await fetchImages(directory, [...options, ...references]);
    const sent = origin.takeSent();
    if (sent.length !== new Set(sent).size) throw new Error('a blob was sent more than once');
    return measured;
  };
  return await takeTurns(
    [
      { who: 'skopeo copy, one by one', run: skopeo },
      { who: 'longshore --keep=oci', run: longshore },
    ],
    turns,
  );
}
