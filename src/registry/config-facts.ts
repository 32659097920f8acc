import * as z from 'zod';

import type { Digest } from '../image/digest.ts';
import { listOf, text } from '../image/go-json.ts';
import { describeJsonFault, parseJsonStrict } from '../image/json.ts';
import type { GoPlatform } from '../image/platform.ts';
import { digest, invalid, shaped } from './manifest.ts';

/** The part of a configuration that is checked before its layers are downloaded. The conversion reads the rest. */
export type ConfigFacts = {
  readonly platform: GoPlatform;
  /** Digests of the uncompressed layers, the lowest layer first. */
  readonly diffIds: readonly Digest[];
};

const shape = z.object({
  os: text,
  architecture: text,
  variant: text,
  rootfs: z.object({
    type: z.literal('layers'),
    diff_ids: listOf(digest),
  }),
});

/**
 * @param layers - the number of layers in the manifest; there must be as many diff IDs.
 * @throws ImageError MANIFEST_INVALID
 * @see OCI image-spec, config.md
 */
export function parseConfigFacts(bytes: Uint8Array, layers: number): ConfigFacts {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw invalid(`the image configuration ${describeJsonFault(json.fault)}`);
  const { os, architecture, variant, rootfs } = shaped('image configuration', shape, json.value);
  const diffIds = rootfs.diff_ids;
  if (diffIds.length !== layers) throw invalid(`${diffIds.length} diff IDs for ${layers} layers`, 'rootfs.diff_ids');
  return { platform: { os, architecture, ...(variant && { variant }) }, diffIds };
}
