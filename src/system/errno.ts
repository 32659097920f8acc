import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** Names of errors that Node calls "Unknown system error -122" and the like, such as EDQUOT. */
const errnoNames = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, number]): [number, string] => [number, name]),
  [117, 'EUCLEAN'],
]);

/** The name of a system error, such as `ENOENT`; undefined for other errors, such as those with Node's own codes. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (typeof code !== 'string') return undefined;
  const [, number] = /^Unknown system error -(\d+)$/.exec(code) ?? [];
  if (number !== undefined) return errnoNames.get(Number(number)) ?? `E${number}`;
  return /^E[A-Z\d]+$/.test(code) ? code : undefined;
}

/** Whether an error means that a path does not exist. */
export function isNoEntry(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '');
}

/** Whether a hard link failed since the file system has none, as FAT. */
export function hasNoLinks(error: unknown): boolean {
  return ['EPERM', 'EMLINK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '');
}

/**
 * The causes of system errors: the path does not exist; something else is there than expected; the path is not valid; no space; no
 * permission; a limit of the process or the machine; a failing disk or any other cause.
 */
export type Cause = 'absent' | 'misplaced' | 'path' | 'full' | 'denied' | 'limit' | 'failing';
/** `what` is the end of a sentence about the path. */
export type SystemFailure = { readonly errno: string; readonly cause: Cause; readonly what: string };

/** `EFTYPE` is thrown by openOwnFile and openFoundFile; Linux does not have it. @see errno(3) */
const descriptions: Readonly<Record<string, readonly [Cause, string]>> = {
  ENOENT: ['absent', 'it is not there'],
  ENOTDIR: ['misplaced', 'it, or a part of its path, is not a directory'],
  EISDIR: ['misplaced', 'it is a directory'],
  ELOOP: ['misplaced', 'it is a symbolic link where none is followed, or links lead to each other'],
  EFTYPE: ['misplaced', 'it is not a regular file'],
  ENXIO: ['misplaced', 'it is not a regular file'],
  EEXIST: ['misplaced', 'something else is there already'],
  ENOTEMPTY: ['misplaced', 'it is not empty'],
  EXDEV: ['misplaced', 'it lies on another file system'],
  ENAMETOOLONG: ['path', 'its path is too long, or a name in it'],
  EILSEQ: ['path', 'the file system does not take such a name'],
  ENOSPC: ['full', 'no space left on device'],
  EDQUOT: ['full', 'the quota is used up'],
  EFBIG: ['full', 'it would be larger than the file system, or a limit of the process, allows'],
  EACCES: ['denied', 'access is not allowed'],
  EPERM: ['denied', 'that is not allowed'],
  EROFS: ['denied', 'the file system is read-only'],
  EMFILE: ['limit', 'too many files are open in this process'],
  ENFILE: ['limit', 'too many files are open on this machine'],
  ENOMEM: ['limit', 'no memory is left'],
  EBUSY: ['limit', 'it is in use'],
  ETXTBSY: ['limit', 'it is in use'],
  EIO: ['failing', 'the disk failed'],
  EUCLEAN: ['failing', 'the file system is damaged'],
  ESTALE: ['failing', 'the file system has lost it'],
};

/** Describes a system error; undefined for any other error. */
export function systemFailure(error: unknown): SystemFailure | undefined {
  const errno = errnoOf(error);
  return errno === undefined ? undefined : describeErrno(errno);
}

/** The reason of a failure, for the end of a message. */
export function whyFailed(error: unknown): string {
  return systemFailure(error)?.what ?? (error instanceof Error ? error.message : String(error));
}

export function describeErrno(errno: string): SystemFailure {
  const [cause, text] = descriptions[errno] ?? ['failing', textOf(errno)];
  return { errno, cause, what: `${text} (${errno})` };
}

function textOf(errno: string): string {
  const known = getSystemErrorMap()
    .values()
    .find(([name]) => name === errno);
  return known?.[1] ?? 'the system failed';
}

/** What is wrong with a certificate, or with TLS, by the code of an error; undefined for other errors. */
export function tlsProblem(code: string): string | undefined {
  if (Object.hasOwn(certificates, code)) return certificates[code];
  if (/^(CERT_|UNABLE_TO_|CRL_|ERROR_IN_|INVALID_)/.test(code)) return `the certificate is not valid: ${code}`;
  return /^(ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code) ? `no TLS connection: ${code}` : undefined;
}

const unknownAuthority = 'the certificate is signed by an unknown authority';

const certificates: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the certificate has expired, or this machine's clock is wrong",
  CERT_NOT_YET_VALID: "the certificate is not valid yet, or this machine's clock is wrong",
  CERT_REVOKED: 'the certificate is revoked',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host',
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
};
