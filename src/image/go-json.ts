import * as z from 'zod';

/** As programs in Go write and read JSON: a text, a list or a map that is null or absent is an empty one. */
export const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');

export const listOf = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);

export const mapOf = <T extends z.ZodType>(value: T) =>
  z
    .record(z.string(), value)
    .nullish()
    .transform((record) => record ?? {});

/** Labels and annotations. */
export const texts = mapOf(text);
