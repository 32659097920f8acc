import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

import { buildTar } from '../../test/helpers/archive.ts';
import {
  missingPrograms,
  openDockerRegistry,
  writeImageLayout,
  type Layer,
} from '../../test/helpers/docker-registry.ts';
import { programLike } from '../corpus.ts';
import { fetchImages } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { takeTurns, type Row } from '../take-turns.ts';

/**
 * An image of ten layers out of a real registry: copied by skopeo, kept by longshore, and made an archive of; crane and docker2aci
 * where `CRANE` and `DOCKER2ACI` name their binaries.
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
  // the same blobs: it knows no other manifests than Docker's
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
  const longshore = (keep: string) => () =>
    fetchImages(directory, ['--insecure-options=image', '--platform=linux/amd64', `--keep=${keep}`, reference]);
  return await takeTurns(
    [
      { who: 'skopeo copy', run: skopeo },
      ...(crane === undefined ? [] : [{ who: 'crane pull', run: () => copyByCrane(crane) }]),
      { who: 'longshore --keep=oci', run: longshore('oci') },
      { who: 'longshore, as an archive too', run: longshore('both') },
      ...(docker2aci === undefined ? [] : [{ who: 'docker2aci', run: () => convertByDocker2aci(docker2aci) }]),
    ],
    turns,
  );
}

/** A layer of one program, the same bytes for the same number. */
export async function layer(number: number, bytes: number): Promise<Layer> {
  const tar = await buildTar([
    { name: `opt/${number}/`, type: 'directory' },
    { name: `opt/${number}/program`, content: programLike(bytes, number) },
  ]);
  return { bytes: gzipSync(tar, { level: 6 }), diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}` };
}
