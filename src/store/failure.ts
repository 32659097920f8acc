import { fromErrorData } from '../errors.ts';
import type { Failure } from '../../workers/index-writer/protocol.ts';

/** The error that the thread met, with the codes that tell what it means. */
export function fromFailure({ known, message, stack, ...codes }: Failure): Error {
  if (known) return fromErrorData(known);
  return Object.assign(new Error(message), stack !== undefined && { stack }, codes);
}
