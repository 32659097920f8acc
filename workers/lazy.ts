/** A module that is loaded when it is first asked for, and the loader asked once: import() alone asks it each time. */
export function lazy<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => (loading ??= load());
}
