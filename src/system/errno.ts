/** The name of a system error, such as `ENOENT`: Node's own codes, of an abort for one, have another form. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z\d]+$/.test(code) ? code : undefined;
}

/** Whether nothing is there under the path that was asked for. */
export function isNoEntry(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '');
}
