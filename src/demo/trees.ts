import { createHash } from 'node:crypto';

import { buildArchive, createSigner, sampleContent, type Signer } from '../sample/archive.ts';
import type { Files } from '../sample/origin.ts';

const KiB = 1024;

/** One image of the demonstration. Names are below `demo.example`; all versions are 1.0. */
type PlannedImage = {
  readonly name: string;
  readonly dependencies: readonly string[];
  /** The size of its one file in bytes. */
  readonly bytes: number;
};

export const prefix = 'demo.example';
export const version = '1.0';

const bases = ['linux', 'certs', 'tools'];
const libraries = ['json', 'http', 'tls', 'log', 'sql', 'cache', 'queue', 'image', 'search'];
const apps = [
  'web',
  'api',
  'mail',
  'shop',
  'auth',
  'feed',
  'chat',
  'maps',
  'docs',
  'wiki',
  'jobs',
  'stats',
  'pay',
  'push',
  'sync',
  'game',
  'news',
  'tour',
];

/** A tree with three levels, the same in every run: the requested images and their dependencies. */
export const roots = apps.map((name) => `${prefix}/app/${name}`);
export const plan: readonly PlannedImage[] = [
  ...bases.map((name) => planned(`${prefix}/base/${name}`, [], 0, 2048)),
  ...libraries.map((name) =>
    planned(
      `${prefix}/lib/${name}`,
      bases.map((base) => `${prefix}/base/${base}`),
      2,
      1024,
    ),
  ),
  ...roots.map((name) =>
    planned(
      name,
      libraries.map((library) => `${prefix}/lib/${library}`),
      3,
      1536,
    ),
  ),
];

/** An image on the same origin, signed with a key that is not trusted. */
export const stranger: PlannedImage = planned(`${prefix}/app/stranger`, [], 0, 64);

function planned(name: string, choices: readonly string[], count: number, mostKiB: number): PlannedImage {
  const dice = createHash('sha256').update(name).digest();
  const start = dice.readUInt8(0);
  const picked = Array.from({ length: count }, (_, step) => choices[(start + step * 2) % choices.length] ?? '');
  return {
    name,
    dependencies: [...new Set(picked)],
    bytes: 16 * KiB + Math.floor((dice.readUInt16BE(1) / 0xffff) * mostKiB * KiB),
  };
}

type Published = {
  readonly files: Files;
  /** The size of all archives in bytes. */
  readonly bytes: number;
  /** The signer of the images that are trusted; the stranger's image has another one. */
  readonly signer: Signer;
};

/** Makes keys, images and signatures: everything that the origin serves. */
export async function publish(platform: ReadonlyMap<string, string>, signal: AbortSignal): Promise<Published> {
  const labels = new Map([['version', version], ...platform]);
  const [signer, somebody] = await Promise.all([createSigner('Demo'), createSigner('Stranger')]);
  const files = new Map<string, Uint8Array>();
  let bytes = 0;
  const add = async (image: PlannedImage, by: Signer): Promise<void> => {
    signal.throwIfAborted();
    const archive = await buildArchive({ ...image, labels, version, content: sampleContent({ ...image, noise: 0.5 }) });
    bytes += archive.length;
    files.set(`/${image.name}-${version}.aci`, archive);
    files.set(`/${image.name}-${version}.aci.asc`, Buffer.from(await by.sign(archive)));
  };
  for (const image of plan) await add(image, signer);
  await add(stranger, somebody);
  return { files, bytes, signer };
}
