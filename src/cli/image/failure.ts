import type { ImageError } from '../../index.ts';

/** One thing that a command could not do; the rest of what it was asked may well be done. */
export type Failure = { readonly asked: string; readonly error: ImageError };
