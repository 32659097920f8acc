import * as z from 'zod';

import { ImageError } from '../../src/errors.ts';
import { formatJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { describeIssue } from '../../src/image/manifest-schema.ts';
import { show } from '../../src/image/show.ts';

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const texts = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);
const set = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((value) => Object.keys(value ?? {}));

const runtime = z.object({
  User: text,
  ExposedPorts: set,
  Env: texts,
  Entrypoint: texts,
  Cmd: texts,
  Volumes: set,
  WorkingDir: text,
  Labels: z
    .record(z.string(), z.string())
    .nullish()
    .transform((labels) => labels ?? {}),
});

const schema = z.object({
  created: text,
  author: text,
  os: text,
  architecture: text,
  variant: text,
  config: runtime.nullish(),
});

/** How a container of the image is to be run. Sets are lists of their keys; what is absent or null is empty. */
export type RuntimeConfig = z.output<typeof runtime>;
/** What a conversion needs of an image's config. */
export type ImageConfig = z.output<typeof schema>;

/**
 * Parses an image's config as registries serve it.
 *
 * @throws MANIFEST_INVALID
 * @see OCI image-spec config.md; docs/rules.md R3
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const json = parseJsonStrict(bytes, { caseSensitive: true }); // labels may differ only in case
  if (!json.ok)
    throw new ImageError('MANIFEST_INVALID', `the image's config is not JSON: ${formatJsonFault(json.fault)}`, {});
  const { data, error } = schema.safeParse(json.value, { error: describeIssue });
  if (data) return data;
  const [issue] = error.issues;
  const field = show(issue?.path.join('.') ?? '');
  throw new ImageError(
    'MANIFEST_INVALID',
    `bad image config: ${field || 'the document'} ${issue?.message ?? 'is not valid'}`,
    {
      ...(field !== '' && { field }),
    },
  );
}
