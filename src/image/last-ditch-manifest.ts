import * as z from 'zod';

import type { LabelPair } from './labels.ts';

/** Unchecked strings of a manifest that does not pass; show them with care. */
export type LastDitchManifest = {
  readonly acVersion: string;
  readonly name: string;
  readonly labels: readonly LabelPair[];
};

const text = z.string().default('');
const schema = z.object({
  acKind: z.literal('ImageManifest'),
  acVersion: text,
  name: text,
  labels: z.array(z.object({ name: text, value: text })).default([]),
});

/** What a broken manifest says of itself, for messages about it; undefined when not even that can be read. @see appc 3.7 */
export function lastDitchManifest(bytes: Uint8Array): LastDitchManifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  const { data } = schema.safeParse(value);
  return data && { acVersion: data.acVersion, name: data.name, labels: data.labels };
}
