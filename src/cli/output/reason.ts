/** Why something could not be done, for the end of a message: what the system calls it, where it has a name for it. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? ('code' in error ? String(error.code) : error.message) : String(error);
}
