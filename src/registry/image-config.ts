import * as z from 'zod';

import type { Digest } from '../image/digest.ts';
import { formatJsonFault, parseJsonStrict } from '../image/json.ts';
import type { GoPlatform } from '../image/platform.ts';
import { digest, texts } from './manifest-shape.ts';
import { invalid, shaped } from './shaped.ts';

/** What a container of the image runs; absent texts are empty. */
export type RunConfig = {
  readonly user: string;
  /** `NAME=value`, as they stand. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  /** Paths, in no order. */
  readonly volumes: readonly string[];
  /** `80`, `53/udp`, `8000-9000/tcp`, in no order. */
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
};

export type ImageConfig = {
  readonly platform: GoPlatform;
  /** As written; maybe no date. */
  readonly created: string;
  readonly author: string;
  readonly run: RunConfig | undefined;
  /** Digests of the layers uncompressed, the lowest first. */
  readonly diffIds: readonly Digest[];
};

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const list = z
  .array(z.string())
  .nullish()
  .transform((values) => values ?? []);
const keys = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((record) => Object.keys(record ?? {}));

const run = z
  .object({
    User: text,
    Env: list,
    Entrypoint: list,
    Cmd: list,
    WorkingDir: text,
    Volumes: keys,
    ExposedPorts: keys,
    Labels: texts,
  })
  .transform((config) => ({
    user: config.User,
    env: config.Env,
    entrypoint: config.Entrypoint,
    cmd: config.Cmd,
    workingDir: config.WorkingDir,
    volumes: config.Volumes,
    exposedPorts: config.ExposedPorts,
    labels: config.Labels,
  }));

const shape = z.object({
  os: text,
  architecture: text,
  variant: text,
  created: text,
  author: text,
  config: run.nullish().transform((config) => config ?? undefined),
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
export function parseImageConfig(bytes: Uint8Array, layers: number): ImageConfig {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw invalid(`the image configuration is not JSON: ${formatJsonFault(json.fault)}`);
  const { os, architecture, variant, created, author, config, rootfs } = shaped(shape, json.value);
  const diffIds = rootfs.diff_ids;
  if (diffIds.length !== layers) {
    throw invalid(`${diffIds.length} diff IDs for ${layers} layers`, 'rootfs.diff_ids');
  }
  return { platform: { os, architecture, ...(variant && { variant }) }, created, author, run: config, diffIds };
}
