import { isImageError, toErrorData, type ErrorData } from '../src/errors.ts';
import type { Handler, TaskName, Tasks } from './tasks.ts';

/** A thrown error crosses a thread without its class and code, so a known failure crosses as data. */
export type Reply<N extends TaskName> =
  { readonly ok: true; readonly value: Tasks[N]['response'] } | { readonly ok: false; readonly error: ErrorData };

export function replying<N extends TaskName>(handler: Handler<N>): (request: Tasks[N]['request']) => Promise<Reply<N>> {
  return async (request) => {
    try {
      return { ok: true, value: await handler(request) };
    } catch (error) {
      if (!isImageError(error)) throw error; // a bug, not an answer
      return { ok: false, error: toErrorData(error) };
    }
  };
}
