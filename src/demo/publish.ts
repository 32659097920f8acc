import { buildArchive } from '../sample/build-archive.ts';
import type { Files } from '../sample/in-memory.ts';
import { createSigner, type Signer } from '../sample/signer.ts';
import { plan, stranger, version, type PlannedImage } from './plan.ts';

export type Published = {
  readonly files: Files;
  /** Bytes of all archives. */
  readonly bytes: number;
  /** Whose images are to be trusted; the stranger's image is signed by somebody else. */
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
    const archive = await buildArchive({ ...image, labels, version, noise: 0.5 });
    bytes += archive.length;
    files.set(`/${image.name}-${version}.aci`, archive);
    files.set(`/${image.name}-${version}.aci.asc`, Buffer.from(await by.sign(archive)));
  };
  for (const image of plan) await add(image, signer);
  await add(stranger, somebody);
  return { files, bytes, signer };
}
