import { defaultLimits, show, type ErrorCode, type ErrorData, type ErrorDetails } from '../../index.ts';
import { kebab } from '../options/named-value.ts';

const checkList = 'Correct it and run again';
const askPublisher = 'Tell its publisher; longshore will not take it';
const later = 'Run again later: what was downloaded is kept';
const authD = 'auth.d of the configuration';
const credentials = `Put credentials for this host into ${authD}`;
/** Those that a user can raise. */
const limits: readonly string[] = Object.keys(defaultLimits).map(kebab);

/** What a user can do next, by code: one sentence without its full stop. */
const advice: Readonly<Record<ErrorCode, string>> = {
  INTERNAL: 'This is a bug: run again with --debug and report what it prints',
  USAGE: 'See --help',
  REFERENCE_INVALID: checkList,
  LIST_INVALID: checkList,
  CONFIG_INVALID: 'Correct the file or take it away',
  NOT_IN_STORE: 'Fetch it without --store-only, or see what is there with: longshore image list',
  ID_AMBIGUOUS: 'Give more digits',
  ID_TOO_SHORT: 'Give two digits or more',
  FILE_NOT_FOUND: 'Check the path',
  DISCOVERY_FAILED:
    'Check the name, say where to ask with --discover PREFIX=ORIGIN, or write docker:// before an image of a registry',
  PLATFORM_MISSING: 'Ask for one of the platforms it has',
  HTTP_STATUS: 'Check the address',
  ARCHIVE_UNREADABLE: 'Check that the address leads to an image',
  ARCHIVE_INVALID: askPublisher,
  MANIFEST_INVALID: askPublisher,
  NAME_INVALID: 'Check the name',
  NAME_MISMATCH: 'Ask for it under its own name',
  LABEL_INVALID: 'Check the labels',
  LABEL_MISMATCH: 'Ask for labels that it has',
  IMAGE_ID_MISMATCH: 'Check the image ID that was asked for',
  DIGEST_MISMATCH: 'Check the digest that was asked for, or tell whoever serves the image',
  SIZE_MISMATCH: 'Check the size that was asked for, or tell whoever serves the image',
  SIGNATURE_MISSING:
    'Publish it there, name that of an archive with --signature, or lift the check with --insecure-options=image',
  SIGNATURE_UNREADABLE: 'Check that this is the signature: OpenPGP, detached, or for a registry a signed statement',
  SIGNATURE_INVALID: 'Do not use this image; tell its publisher',
  SIGNATURE_EXPIRED: 'Ask its publisher for a new signature',
  KEY_UNKNOWN: 'If the signer deserves it: longshore trust --prefix NAME KEY',
  KEY_INVALID: 'Check the key file',
  KEY_EXPIRED: 'Get the renewed key from its publisher and trust that',
  KEY_REVOKED: 'Get the new key from its publisher and trust that',
  KEY_WEAK: 'Ask its publisher for a stronger signature, or accept it with --insecure-options=weak-keys',
  LIMIT_EXCEEDED: 'It is more than longshore takes',
  REDIRECT_REFUSED: 'Ask for the address that it leads to, if you trust that',
  INSECURE_REFUSED: 'If you accept the risk, lift the check with --insecure-options',
  DEPENDENCY_CYCLE: askPublisher,
  DEPENDENCY_FAILED: 'See what is said of the dependency',
  AUTH_REQUIRED: `Log in with podman or docker, or put credentials for this host into ${authD}`,
  AUTH_DENIED: `Check the credentials for this host, those that podman and docker keep and those in ${authD}`,
  NETWORK: `Check the connection; ${later.toLowerCase()}`,
  TIMEOUT: later,
  STALLED: later,
  TLS: 'Check the certificate and the clock, or name its authority with --ca-file',
  RESPONSE_INVALID: 'Tell whoever runs the server',
  LENGTH_MISMATCH: later,
  RATE_LIMITED: 'Wait, then run again; --jobs-per-host=1 asks less',
  STORE_CORRUPT: 'Run: longshore image verify --repair',
  STORE_BUSY: 'Wait for the other process, then run again',
  STORE_FULL: 'Make room, for example with longshore image gc, and run again',
  STORE_READ_ONLY: 'Choose a directory that can be written with --dir',
  STORE_VERSION: 'Use the longshore that wrote this store, or a newer one',
  FILE_UNREADABLE: 'Check the permissions of the file',
  OUTPUT_FAILED: 'Make room there, or write it elsewhere, and run again',
  LOCK_MISMATCH: 'Check what changed; then write the lock file anew',
  CANCELLED: later,
};

/** For what was recognised, though it is not read: how to write it so that it is. The first that fits counts. */
const repacking: readonly (readonly [looksLike: RegExp, advice: string])[] = [
  [/^an old tar/, 'Write it anew, for example with tar --format=ustar'],
  [/volume label/, 'Write it anew without --label'],
  [
    /^an archive of (?:docker|an OCI)/,
    'Copy it to a registry, for example with skopeo, and fetch that: docker://HOST/NAME:TAG',
  ],
  [/^xz with a (?:sha256 )?check/, 'Write it anew with xz --check=crc64'],
  [/^xz with the .* filter/, 'Write it anew with xz and no filter but --lzma2'],
  [/^xz with a dictionary/, 'Write it anew with xz -9 or less'],
  [/^(?:zstd|lz4|lzma|lzip|compress)/, 'Compress it anew as gzip, bzip2 or xz'],
  [/^(?:zip|7-Zip|RAR)/, 'Pack it anew as a tar'],
  [/^OpenPGP encrypted/, 'Decrypt it first'],
];

export function adviceFor(error: ErrorData): string {
  if (error.code === 'LIMIT_EXCEEDED' && 'limit' in error.details) return adviceForLimit(error.details);
  if ('keep' in error.details) return 'Keep it so, or tell its publisher';
  if (error.code === 'HTTP_STATUS' && 'status' in error.details) return adviceForStatus(error.details);
  if (error.code === 'KEY_UNKNOWN' && 'searched' in error.details) return adviceForSigner(error.details);
  if (error.code === 'ARCHIVE_UNREADABLE' && 'looksLike' in error.details) return adviceForFormat(error.details);
  return advice[error.code];
}

function adviceForFormat({ looksLike = '' }: ErrorDetails['ARCHIVE_UNREADABLE']): string {
  return repacking.find(([pattern]) => pattern.test(looksLike))?.[1] ?? advice.ARCHIVE_UNREADABLE;
}

function adviceForLimit({ limit, keep }: ErrorDetails['LIMIT_EXCEEDED']): string {
  if (!limits.includes(limit)) return keep ? 'Keep it so' : advice.LIMIT_EXCEEDED;
  return `If it is meant to be so large, raise it with --limit ${limit}=VALUE`;
}

/** The message has named the signers and where their keys were looked for; this is the command that adds one. */
function adviceForSigner({ name }: ErrorDetails['KEY_UNKNOWN']): string {
  const trust = `longshore trust --prefix ${show(name)}`;
  return `If the signer deserves it, and the fingerprint is its own: ${trust} KEYFILE, or ${trust} for the keys that discovery offers`;
}

function adviceForStatus({ url, status, redirectedFrom, takesNoCredentials }: ErrorDetails['HTTP_STATUS']): string {
  if (status === 401 || status === 403) {
    if (!takesNoCredentials) return credentials;
    if (redirectedFrom !== undefined)
      return `Run again: ${redirectedFrom} may lead elsewhere then; else tell whoever runs it`;
    if (url.startsWith('http:')) return 'Ask for it over https: credentials are not shown over http';
  }
  if (status === 407) return 'Put the credentials of the proxy into its address';
  return status >= 500 ? later : advice.HTTP_STATUS;
}
