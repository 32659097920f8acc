import { isImageError, toErrorData, type ErrorData } from '../src/errors.ts';
import type { Handler, TaskName, Tasks } from './tasks.ts';

/** A thrown error crosses a thread without its class and code, so a known failure crosses as data. */
export type Reply<N extends TaskName> =
  { readonly ok: true; readonly value: Tasks[N]['response'] } | { readonly ok: false; readonly error: ErrorData };

/** What crosses to a thread, and when it was asked for: milliseconds since the epoch. */
export type Task<N extends TaskName> = { readonly request: Tasks[N]['request']; readonly askedMs: number };

export function replying<N extends TaskName>(handler: Handler<N>): (task: Task<N>) => Promise<Reply<N>> {
  return async ({ request, askedMs }) => {
    try {
      return { ok: true, value: await handler(request, Math.max(0, Date.now() - askedMs)) };
    } catch (error) {
      if (!isImageError(error)) throw error; // a bug, not an answer
      return { ok: false, error: toErrorData(error) };
    }
  };
}
