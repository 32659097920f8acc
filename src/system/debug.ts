import { debuglog } from 'node:util';
import { isMainThread, threadId } from 'node:worker_threads';

/** The rooms for `NODE_DEBUG=longshore:ROOM`. Several are separated by commas; `longshore:*` means all. */
type DebugRoom =
  | 'cli'
  | 'coordinator'
  | 'discovery'
  | 'fetchers'
  | 'fleet'
  | 'http'
  | 'images'
  | 'pool'
  | 'push'
  | 'registry'
  | 'serve'
  | 'store'
  | 'verify'
  | 'workers';

/**
 * Writes lines for maintainers to the standard error, with the time and the thread, if NODE_DEBUG names the room. Otherwise a call
 * costs one comparison, and the line is not built.
 *
 * @returns a function that takes a function which builds the line. Outside text in it must be passed through `show`, a URL through
 * `showUrl`: as in messages, there are no credentials and no queries.
 * @see Node's `util.debuglog`
 */
export function debugLog(room: DebugRoom): (line: () => string) => void {
  const log = debuglog(`longshore:${room}`);
  return (line) => {
    if (!log.enabled) return;
    const time = new Date().toISOString().slice(11, 23);
    const thread = isMainThread ? '' : `thread ${threadId}: `;
    log('%s', `${time} ${thread}${line()}`.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' '));
  };
}
