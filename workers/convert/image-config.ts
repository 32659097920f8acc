import * as z from 'zod';

import { ImageError } from '../../src/errors.ts';
import { listOf, mapOf, text, texts } from '../../src/image/go-json.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';

const set = mapOf(z.unknown()).transform((value) => Object.keys(value));

const runtime = z.object({
  User: text,
  ExposedPorts: set,
  PortSpecs: listOf(text),
  Env: listOf(text),
  Entrypoint: listOf(text),
  Cmd: listOf(text),
  Volumes: set,
  WorkingDir: text,
  Labels: texts,
});

const schema = z.object({
  created: text,
  author: text,
  os: text,
  architecture: text,
  variant: text,
  config: runtime.nullish(),
});

/** How to run a container of the image. Sets are lists of their keys; absent and null members are empty. */
export type RuntimeConfig = z.output<typeof runtime>;
/** The parts of an image's config that a conversion needs. */
export type ImageConfig = z.output<typeof schema>;

/**
 * Parses the config of a registry image.
 *
 * @throws MANIFEST_INVALID
 * @see OCI image-spec config.md; docs/rules.md R3
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const json = parseJsonStrict(bytes, { caseSensitive: true }); // labels may differ only in case
  if (!json.ok) throw new ImageError('MANIFEST_INVALID', `the image's config ${describeJsonFault(json.fault)}`, {});
  const shaped = checkShape(schema, json.value);
  if (shaped.ok) return shaped.value;
  const { fault } = shaped;
  const details = fault.field === '' ? {} : { field: fault.field };
  throw new ImageError('MANIFEST_INVALID', `bad image config: ${formatFault(fault)}`, details);
}
