/** The result of work that cannot be told to stop, or the signal's reason as soon as nobody waits for it any more. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop(); // raced all the same: work that fails later must not be an unhandled rejection
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
