import * as z from 'zod';

import {
  checkConfig,
  configInvalid,
  type Digest,
  isDigest,
  isImageId,
  type OtherSide,
  parseConfigJson,
  parseRegistryReference,
  readConfigFile,
} from '../../../internal.ts';
import { readLockFile } from '../fetch/lock-file.ts';

/** As for lock files. */
const maxBytes = 64 * 1024 * 1024;

const listSchema = 'longshore.images/1';

const shape = z.object({
  schema: z.literal(listSchema),
  images: z.array(
    z.object({
      imageID: z.string(),
      reference: z.string().optional(),
      verified: z.union([z.array(z.string()), z.literal(false)]),
    }),
  ),
});

/**
 * Reads what another store has: the JSON of its `image list`, or the lock file that it was filled with.
 *
 * @param path - absolute, or relative to the working directory.
 * @throws CONFIG_INVALID
 */
export async function readOtherSide(path: string): Promise<OtherSide> {
  const images = new Map<string, boolean>();
  const documents = new Set<Digest>();
  const add = (reference: string, digest: Digest, isVerified: boolean): void => {
    images.set(`${reference} ${digest}`, isVerified);
    documents.add(digest);
  };
  const value = parseConfigJson(path, await readConfigFile(path, { maxBytes }), { caseSensitive: true });
  const schema = schemaOf(value);
  if (schema === listSchema) {
    for (const { imageID, reference, verified } of checkConfig(path, shape, value).images) {
      if (reference !== undefined && isDigest(imageID)) add(reference, imageID, verified !== false);
      else if (isImageId(imageID)) images.set(imageID, verified !== false);
    }
    return { images, documents };
  }
  if (!/^longshore\.lock\//.test(schema))
    throw configInvalid(path, 'is neither what image list --output=json writes nor a lock file');
  const lock = await readLockFile(path, true);
  for (const [name, { imageID = '', platforms = {} }] of lock?.images ?? []) {
    if (isImageId(imageID)) images.set(imageID, true); // a lock does not say whether it was verified
    const digests = [imageID, ...Object.values(platforms)].filter(isDigest);
    if (digests.length === 0) continue;
    const { host, repository } = parseRegistryReference(name);
    for (const digest of digests) {
      add(name.replace(/^docker:\/\//, ''), digest, true);
      add(`${host}/${repository}@${digest}`, digest, true); // of further platforms
    }
  }
  return { images, documents };
}

function schemaOf(value: unknown): string {
  return typeof value === 'object' && value !== null && 'schema' in value ? String(value.schema) : '';
}
