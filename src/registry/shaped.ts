import type { ZodType } from 'zod';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** @throws ImageError MANIFEST_INVALID naming the first field that is wrong */
export function shaped<T>(shape: ZodType<T>, value: unknown): T {
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = (issue?.path ?? []).map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`));
  const field = show(path.join('').replace(/^\./, ''));
  throw invalid(`${field === '' ? '' : `${field}: `}${show(issue?.message ?? 'not as it should be')}`, field);
}

export function invalid(message: string, field?: string): ImageError<'MANIFEST_INVALID'> {
  return new ImageError('MANIFEST_INVALID', message, field === undefined ? {} : { field });
}
