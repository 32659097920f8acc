import * as z from 'zod';

/** JSON as Go programs read and write it: a string, list or map that is null or absent counts as empty. */
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
