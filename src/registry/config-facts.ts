import * as z from 'zod';

import type { Digest } from '../image/digest.ts';
import { formatJsonFault, parseJsonStrict } from '../image/json.ts';
import type { GoPlatform } from '../image/platform.ts';
import { digest } from './manifest-shape.ts';
import { invalid, shaped } from './shaped.ts';

/** What has to be known of a configuration before its layers are brought; what runs is for the conversion to read. */
export type ConfigFacts = {
  readonly platform: GoPlatform;
  /** Digests of the layers uncompressed, the lowest first. */
  readonly diffIds: readonly Digest[];
};

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');

const shape = z.object({
  os: text,
  architecture: text,
  variant: text,
  rootfs: z.object({
    type: z.literal('layers'),
    diff_ids: z
      .array(digest)
      .nullish()
      .transform((ids) => ids ?? []),
  }),
});

/**
 * @param layers - how many the manifest has: there is a diff ID for each.
 * @throws ImageError MANIFEST_INVALID
 * @see OCI image-spec, config.md
 */
export function parseConfigFacts(bytes: Uint8Array, layers: number): ConfigFacts {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw invalid(`the image configuration is not JSON: ${formatJsonFault(json.fault)}`);
  const { os, architecture, variant, rootfs } = shaped(shape, json.value);
  const diffIds = rootfs.diff_ids;
  if (diffIds.length !== layers) throw invalid(`${diffIds.length} diff IDs for ${layers} layers`, 'rootfs.diff_ids');
  return { platform: { os, architecture, ...(variant && { variant }) }, diffIds };
}
