const semVer = /^(\d{1,15})\.(\d{1,15})\.(\d{1,15})(?:-([0-9A-Za-z.-]*))?(?:\+([0-9A-Za-z.-]*))?$/;

/**
 * What keeps a text from being a version; undefined when it is one. Leading zeros and an empty pre-release or metadata
 * are let pass, as appc's own tools do.
 *
 * @see appc 1.4
 */
export function semVerProblem(text: string): string | undefined {
  const parts = semVer.exec(text);
  if (!parts) return 'is not a version: want MAJOR.MINOR.PATCH, with -PRERELEASE and +METADATA if need be';
  const [, major, minor, patch, preRelease, metadata] = parts;
  const isZero = [major, minor, patch].every((number) => Number(number) === 0);
  return isZero && !preRelease && !metadata ? 'cannot be zero' : undefined;
}
