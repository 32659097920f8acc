import type { ZodType } from 'zod';

import { ImageError } from '../errors.ts';
import { checkShape, formatFault } from '../image/shape.ts';

/** @param what - the document, as messages call it. @throws ImageError MANIFEST_INVALID naming the first field that is wrong */
export function shaped<T>(what: string, shape: ZodType<T>, value: unknown): T {
  const result = checkShape(shape, value);
  if (result.ok) return result.value;
  const { fault } = result;
  throw invalid(`bad ${what}: ${formatFault(fault)}`, fault.field === '' ? undefined : fault.field);
}

export function invalid(message: string, field?: string): ImageError<'MANIFEST_INVALID'> {
  return new ImageError('MANIFEST_INVALID', message, field === undefined ? {} : { field });
}
