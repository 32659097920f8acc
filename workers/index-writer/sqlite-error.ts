/** A primary result code. @see https://www.sqlite.org/rescode.html */
export const SQLITE_BUSY = 5;

/** Whether SQLite failed with this primary result code, whatever its extension. */
export function isSqliteError(error: unknown, code: number): boolean {
  return (
    error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && (error.errcode & 0xff) === code
  );
}
