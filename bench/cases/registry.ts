import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

import { buildTar } from '../../test/helpers/archive.ts';
import {
  type DockerRegistry,
  type Layer,
  missingPrograms,
  openDockerRegistry,
  writeImageLayout,
} from '../../test/helpers/docker-registry.ts';
import { programLike } from '../corpus.ts';
import { type Longshore, openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';

const unsigned = ['--insecure-options=image', '--platform=linux/amd64'];

/**
 * An image of ten layers from a real registry: copied by skopeo, and fetched by longshore, unconverted and converted.
 * Also crane and docker2aci, if `CRANE` and `DOCKER2ACI` name their binaries.
 */
export async function registry({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const missing = await missingPrograms();
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`);
  await using origin = await openDockerRegistry();
  const layout = join(directory, 'layout');
  const layerBytes = small ? 200_000 : 20_000_000;
  await writeImageLayout(
    layout,
    ['amd64'],
    await Promise.all(Array.from({ length: 10 }, (_, at) => layer(at, layerBytes))),
  );
  const [name, dockerName] = ['team/app:1', 'team/app:docker'];
  await origin.push(layout, name);
  const reference = `docker://${origin.host}/${name}`;
  const crane = process.env['CRANE'];
  const docker2aci = process.env['DOCKER2ACI'];
  // the same blobs, since it supports only Docker's manifests
  if (docker2aci !== undefined) await origin.push(layout, dockerName, '--format=v2s2');

  const skopeo = async (): Promise<Measured> => {
    const target = join(directory, 'copied');
    await rm(target, { recursive: true, force: true });
    const copy = ['skopeo', 'copy', '--quiet', '--insecure-policy', '--src-tls-verify=false'];
    return measure([...copy, reference, `dir:${target}`]);
  };
  const copyByCrane = async (binary: string): Promise<Measured> => {
    const target = join(directory, 'pulled');
    await rm(target, { recursive: true, force: true });
    const pull = [binary, 'pull', '--insecure', '--platform=linux/amd64', '--format=oci'];
    return measure([...pull, `${origin.host}/${name}`, target]);
  };
  const convertByDocker2aci = async (binary: string): Promise<Measured> => {
    const target = join(directory, 'converted');
    await rm(target, { recursive: true, force: true });
    await mkdir(target);
    const program = binary.includes('/') ? resolve(binary) : binary;
    const convert = [program, '-insecure-allow-http', '-compression=none'];
    return measure(['env', `--chdir=${target}`, ...convert, `docker://${origin.host}/${dockerName}`]);
  };
  const longshores = await openLongshores(directory);
  const contenders = (keep: string, what: string) =>
    longshores.map(({ label, fetch }) => ({
      who: `longshore${label}${what}`,
      run: () => fetch([reference], [...unsigned, `--keep=${keep}`]),
    }));
  return await takeTurns(
    [
      { who: 'skopeo copy', run: skopeo },
      ...(crane === undefined ? [] : [{ who: 'crane pull', run: () => copyByCrane(crane) }]),
      ...contenders('oci', ' --keep=oci'),
      ...contenders('both', ', as an archive too'),
      ...(docker2aci === undefined ? [] : [{ who: 'docker2aci', run: () => convertByDocker2aci(docker2aci) }]),
    ],
    turns,
  );
}

/**
 * Fifty images of ten layers, eight of which are shared, from a real registry: copied one after the other by skopeo
 * into one layout, and fetched by longshore in one batch.
 *
 * @throws when longshore downloads a blob twice.
 */
export async function sharedLayers({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [count, layerBytes] = small ? [4, 50_000] : [50, 2_000_000];
  await using origin = await openDockerRegistry();
  const names = await pushImages(origin, directory, { count, layerBytes });

  const longshores = await openLongshores(directory);
  const skopeo = async (): Promise<Measured> => {
    const target = join(directory, 'copied');
    await rm(target, { recursive: true, force: true });
    const copy = 'skopeo copy --quiet --insecure-policy --src-tls-verify=false';
    const each = names.map((name) => `${copy} docker://${origin.host}/${name} oci:${target}:${name.replace(':', '-')}`);
    return measure(['bash', '-ec', each.join('\n')]);
  };
  const references = names.map((name) => `docker://${origin.host}/${name}`);
  const fetchOnce = async ({ fetch }: Longshore): Promise<Measured> => {
    origin.takeSent();
    const measured = await fetch(references, [...unsigned, '--keep=oci']);
    const sent = origin.takeSent();
    if (sent.length !== new Set(sent).size) throw new Error('a blob was sent more than once');
    return measured;
  };
  return await takeTurns(
    [
      { who: 'skopeo copy, one by one', run: skopeo },
      ...longshores.map((one) => ({ who: `longshore${one.label} --keep=oci`, run: () => fetchOnce(one) })),
    ],
    turns,
  );
}

/** Two hundred small images of ten layers, eight of which are shared: by skopeo sync, and by longshore. */
export async function registrySync({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  await using origin = await openDockerRegistry();
  const names = await pushImages(origin, directory, { count: small ? 4 : 200, layerBytes: 20_000 });
  const list = join(directory, 'sync.yaml');
  const images = Object.fromEntries(names.map((name) => name.split(':')).map(([path = '', tag = '']) => [path, [tag]]));
  await writeFile(list, JSON.stringify({ [origin.host]: { 'tls-verify': false, images } })); // YAML that is JSON too
  const target = join(directory, 'synced');
  const skopeo = async (): Promise<Measured> => {
    await rm(target, { recursive: true, force: true });
    await mkdir(target);
    return measure(['skopeo', 'sync', '--insecure-policy', '--src=yaml', '--dest=dir', list, target]);
  };
  const references = names.map((name) => `docker://${origin.host}/${name}`);
  return await takeTurns(
    [
      { who: 'skopeo sync', run: skopeo },
      ...(await openLongshores(directory)).map(({ label, fetch }) => ({
        who: `longshore${label} --keep=oci`,
        run: () => fetch(references, [...unsigned, '--keep=oci']),
      })),
    ],
    turns,
  );
}

/** Pushes images of ten layers, eight of which all have. @returns their names */
export async function pushImages(
  origin: DockerRegistry,
  directory: string,
  { count, layerBytes }: { readonly count: number; readonly layerBytes: number },
): Promise<readonly string[]> {
  const shared = await Promise.all(Array.from({ length: 8 }, (_, at) => layer(at, layerBytes)));
  const names = Array.from({ length: count }, (_, index) => `team/app-${index}:1`);
  for (const [index, name] of names.entries()) {
    const layout = join(directory, `layout-${index}`);
    const own = await Promise.all([1, 2].map((at) => layer(100 + 2 * index + at, layerBytes)));
    await writeImageLayout(layout, ['amd64'], [...shared, ...own]);
    await origin.push(layout, name);
    await rm(layout, { recursive: true });
  }
  return names;
}

/** A layer with one program. The same number gives the same bytes. */
async function layer(number: number, bytes: number): Promise<Layer> {
  const tar = await buildTar([
    { name: `opt/${number}/`, type: 'directory' },
    { name: `opt/${number}/program`, content: programLike(bytes, number) },
  ]);
  return { bytes: gzipSync(tar, { level: 6 }), diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}` };
}
