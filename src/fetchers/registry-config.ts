import { errnoOf } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { isImageError } from '../errors.ts';
import { checkDigest } from '../registry/check-digest.ts';
import { getConfig } from '../registry/documents.ts';
import type { Descriptor, RegistryDocument } from '../registry/types.ts';
import type { FetchContext } from './context.ts';
import { observing } from './observing.ts';
import type { TransferProgress } from './registry-progress.ts';
import type { Pull } from './registry-pull.ts';

/** An image's configuration, out of the store or from the registry, which is asked once however many images share it. */
export async function bringConfig(
  context: FetchContext,
  { client, resolved, wanted: { key, reference } }: Pull,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<RegistryDocument> {
  const { config } = resolved;
  const { slots, registries } = context;
  const stored = await readConfig(context, config);
  if (stored) return stored;
  const bring = (shared: AbortSignal) =>
    slots.run(reference.host, shared, async (slot) => {
      const observer = observing({ ...context, slot }, key);
      const document = await getConfig(client, reference, config, observer, shared);
      progress.start(config.size, 0)(config.size);
      return document;
    });
  return { ...(await registries.configs.get(config, bring, signal)), mediaType: config.mediaType };
}

async function readConfig({ store, limits }: FetchContext, config: Descriptor): Promise<RegistryDocument | undefined> {
  const { digest, size, mediaType } = config;
  if (size > limits.registryConfig || !(await store.hasBlob(digest, size))) return undefined;
  try {
    await using file = await openOwnFile(store.digestPath(digest));
    const bytes = await readAtMost(file, size + 1);
    checkDigest(bytes, config);
    return { bytes, digest, mediaType };
  } catch (error) {
    if (isImageError(error) || errnoOf(error) !== undefined) return undefined; // what is there is of no use
    throw error;
  }
}
