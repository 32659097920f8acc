import { defaultLimits, hasCode, show, type ErrorCode, type ImageError, type ErrorDetails } from '../../index.ts';
import { describeErrno } from '../../system/errno.ts';
import { kebab } from '../options/values.ts';

const later = 'Run again later: what was downloaded is kept';
const checkAddress = 'Check the address';
const tellServer = 'Tell whoever runs the server';
const authD = 'auth.d of the configuration';
/** The limits that a user can change. */
const limits: readonly string[] = Object.keys(defaultLimits).map(kebab);

/** The request, as far as advice depends on it. */
type Asked = { readonly isOfRegistry: boolean };
type Advise<C extends ErrorCode> = (details: ErrorDetails[C], asked: Asked) => string;

/** Advice for the user, by error code: one sentence without its full stop. */
const advice: { readonly [C in ErrorCode]: string | Advise<C> } = {
  INTERNAL: 'This is a bug: run again with --debug and report what it prints',
  USAGE: 'See --help',
  REFERENCE_INVALID: 'Correct it and run again',
  LIST_INVALID: 'Correct it and run again',
  CONFIG_INVALID: 'Correct the file or take it away',
  NOT_IN_STORE: adviceForMissing,
  ID_AMBIGUOUS: 'Give more digits, or the name of the one that is meant',
  ID_TOO_SHORT: 'Give two digits or more',
  FILE_NOT_FOUND: 'Check the path',
  DISCOVERY_FAILED:
    'Check the name, say where to ask with --discover PREFIX=ORIGIN, or write docker:// before an image of a registry',
  PLATFORM_MISSING: 'Ask for one of the platforms it has, with --platform',
  HTTP_STATUS: adviceForStatus,
  ARCHIVE_UNREADABLE: adviceForFormat,
  ARCHIVE_INVALID: ({ rule }) =>
    `It has to be written anew, as ${rule} in docs/rules.md has it: tell its publisher, if that is not you`,
  MANIFEST_INVALID: 'It has to be written anew: tell its publisher, if that is not you',
  NAME_INVALID: 'Check the name',
  NAME_MISMATCH: 'Ask for it under its own name',
  LABEL_INVALID: 'Check the labels',
  LABEL_MISMATCH: 'Ask for labels that it has',
  IMAGE_ID_MISMATCH: 'Check the image ID that was asked for, by you or by the image that needs it',
  DIGEST_MISMATCH: 'Check the digest that was asked for, or tell whoever serves the image',
  SIZE_MISMATCH: 'Check the size that was asked for, or tell whoever serves the image',
  SIGNATURE_MISSING: (_, { isOfRegistry }) =>
    isOfRegistry
      ? 'Publish one there, as skopeo copy --sign-by makes it, or lift the check with --insecure-options=image'
      : 'Publish it there, name it with --signature, or lift the check with --insecure-options=image',
  SIGNATURE_UNREADABLE: 'Check that this is the signature: OpenPGP, detached, or for a registry a signed statement',
  SIGNATURE_INVALID:
    'Check that the signature is that of this image; if it is, do not use the image and tell its publisher',
  SIGNATURE_EXPIRED: "Check this machine's clock; if it is right, ask the publisher for a new signature",
  KEY_UNKNOWN: adviceForSigner,
  KEY_INVALID: ({ path }) =>
    path === undefined
      ? 'Ask the publisher for a signature by a key that may sign and is supported'
      : 'Check the key file',
  KEY_EXPIRED: 'Get the renewed key from its publisher and trust that',
  KEY_REVOKED: 'Get the new key from its publisher and trust that',
  KEY_WEAK: ({ algorithm }) =>
    /md5|ripemd|elgamal/i.test(algorithm)
      ? 'Ask the publisher for a stronger signature'
      : 'Ask the publisher for a stronger signature, or accept it with --insecure-options=weak-keys',
  LIMIT_EXCEEDED: adviceForLimit,
  REDIRECT_REFUSED: adviceForRedirect,
  INSECURE_REFUSED: adviceForRisk,
  DEPENDENCY_CYCLE: 'None of them can come first: tell the publisher, if that is not you',
  DEPENDENCY_FAILED: 'See what is said of the dependency',
  AUTH_REQUIRED: `Log in with podman or docker, or put credentials for this host into ${authD}`,
  AUTH_DENIED: `Check the credentials for this host, those that podman and docker keep and those in ${authD}`,
  NETWORK: ({ reason }) =>
    reason === 'ENOTFOUND' ? 'Check the name of the host' : `Check the connection; ${later.toLowerCase()}`,
  TIMEOUT: `${later}, and --timeout says how long to wait`,
  STALLED: later,
  TLS: 'Check the certificate and the clock, or name its authority with --ca-file',
  RESPONSE_INVALID: tellServer,
  LENGTH_MISMATCH: later,
  RATE_LIMITED: (_, { isOfRegistry }) =>
    `Wait, then run again; --jobs-per-host=1 asks less${isOfRegistry ? ', and who logs in may often ask more' : ''}`,
  STORE_CORRUPT: ({ errno }) => adviceForErrno(errno, 'Run: longshore image verify --repair'),
  STORE_BUSY: 'Wait for the other process, then run again',
  STORE_FULL: 'Make room there, in a store for example with longshore image gc, and run again',
  STORE_READ_ONLY: 'Choose a place that can be written, for the store with --dir, or have it made writable',
  STORE_VERSION:
    'Use the longshore that wrote this store, or a newer one; if the index is of another program, choose another --dir',
  FILE_UNREADABLE: ({ errno }) =>
    adviceForErrno(errno, 'Check the path, that it is what it should be, and who may read and write it'),
  OUTPUT_FAILED: ({ reason }) =>
    `${/^(?:ENOSPC|EDQUOT|EFBIG)$/.test(reason) ? 'Make room there' : 'Check what is there'}, or write it elsewhere, and run again`,
  LOCK_MISMATCH: adviceForLock,
  CANCELLED: later,
  CLOSED: 'Report it as a bug: the command closes nothing that it still uses',
};

/** @param reference - the request, in the caller's words. */
export function adviceFor(error: ImageError, reference = ''): string {
  const { code, details } = error;
  if (code !== 'LIMIT_EXCEEDED' && 'keep' in details) return 'Keep it so, or tell its publisher';
  if (code === 'AUTH_REQUIRED' && hasCode(error.cause, 'CONFIG_INVALID'))
    return 'Mend what keeps them, or take it away';
  if ('proxy' in details) return adviceForProxy(error);
  const found = advice[code];
  if (typeof found === 'string') return found;
  const asked = { isOfRegistry: /^docker:|^sha256:/i.test(reference) };
  return (found as Advise<ErrorCode>)(details, asked); // the details belong to the code
}

/** What was not passed; the message names it. */
function adviceForProxy({ code, details }: ImageError): string {
  if (code === 'AUTH_DENIED' || ('status' in details && details.status === 407)) {
    return 'Put user and password into the address of the proxy, in http_proxy, https_proxy or all_proxy: http://USER:PASSWORD@HOST:PORT';
  }
  if (code === 'TLS') return 'Check the certificate and the clock, or name its authority with --ca-file';
  return 'Check the proxy that http_proxy, https_proxy or all_proxy names, or name hosts to reach without it in no_proxy';
}

/** Advice by errno: errors that come from the system are not damage that a repair could mend. */
function adviceForErrno(errno: string | undefined, otherwise: string): string {
  switch (errno === undefined ? undefined : describeErrno(errno).cause) {
    case 'path':
      return 'Choose a shorter path';
    case 'misplaced':
      return 'Choose another path, for the store with --dir, or take away what is in the place of it';
    case 'limit':
      return 'Do less at a time with --jobs, or raise the limit: of open files with ulimit -n';
    case 'failing':
      return 'Check the disk: the log of the system says more';
    case 'absent':
    case 'full':
    case 'denied':
    case undefined:
      return otherwise;
  }
}

function adviceForMissing({ asked, of }: ErrorDetails['NOT_IN_STORE']): string {
  if (of === 'keystore') return 'See what is trusted with: longshore trust list';
  if (/^sha\d+[-:]/.test(asked))
    return 'See what is there with longshore image list; what is not has to be fetched by name or address';
  return 'Fetch it, without --store-only, or see what is there with: longshore image list';
}

function adviceForStatus(details: ErrorDetails['HTTP_STATUS'], { isOfRegistry }: Asked): string {
  const { status } = details;
  switch (status) {
    case 401:
    case 403:
      return adviceForDenial(details);
    case 407:
      return 'Put user and password into the address of the proxy: http://USER:PASSWORD@HOST:PORT';
    case 408:
    case 425:
    case 429:
      return later;
    case 451:
      return 'Ask whoever runs the server: it may not give it out';
    case 511:
      return 'Log in to the network that this machine is in, for example with a browser, then run again';
    case 501:
    case 505:
      return tellServer;
    default:
      if (status >= 500 || status === 202) return later;
      if (status < 400) return tellServer;
      return isOfRegistry ? 'Check the name, the tag and the registry' : checkAddress;
  }
}

/** Advice for a refused request, except where credentials are never sent. @see docs/rules.md H8, R5 */
function adviceForDenial({ url, redirectedFrom, takesNoCredentials }: ErrorDetails['HTTP_STATUS']): string {
  if (takesNoCredentials && redirectedFrom !== undefined)
    return `Run again: ${redirectedFrom} may lead elsewhere then; else tell whoever runs it`;
  if (url.startsWith('http:')) return 'Ask for it over https: credentials are not shown over http';
  return takesNoCredentials ? tellServer : `Put credentials for this host into ${authD}, or check those that are there`;
}

/** Advice for recognised formats that are not supported: how to convert them. The first match counts. */
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
  [/^xz with a larger/, 'Write it anew with xz in one go'],
  [/^zstd with a window/, 'Write it anew with zstd --long=27 or less'],
  [/^(?:zstd|lz4|lzma|lzip|compress)/, 'Compress it anew as gzip, bzip2 or xz'],
  [/^(?:zip|7-Zip|RAR)/, 'Pack it anew as a tar'],
  [/^OpenPGP encrypted/, 'Decrypt it first'],
];

function adviceForFormat({ looksLike }: ErrorDetails['ARCHIVE_UNREADABLE']): string {
  if (looksLike === undefined) return 'It is damaged: get it anew, or tell its publisher';
  return repacking.find(([pattern]) => pattern.test(looksLike))?.[1] ?? 'Check that the address leads to an image';
}

function adviceForLimit({ limit, keep }: ErrorDetails['LIMIT_EXCEEDED']): string {
  if (limit === 'heap') return 'If there is more memory, allow it: NODE_OPTIONS=--max-old-space-size=MIB';
  if (limits.includes(limit)) return `If it is meant to be so large, raise it with --limit ${limit}=VALUE`;
  return keep ? 'Keep it so' : 'It is more than longshore takes';
}

/** The command that adds a signer's key. The message has named the signers and where keys were searched. */
function adviceForSigner({ name }: ErrorDetails['KEY_UNKNOWN'], { isOfRegistry }: Asked): string {
  const trust = `longshore trust --prefix ${show(name)}`;
  const discovered = isOfRegistry ? '' : `, or ${trust} for the keys that discovery offers`;
  return `If the signer deserves it, and the fingerprint is its own: ${trust} KEYFILE${discovered}`;
}

/** Advice for a refused redirect. The target of a redirect can be requested directly, but not for a registry. */
function adviceForRedirect({ from, to }: ErrorDetails['REDIRECT_REFUSED'], { isOfRegistry }: Asked): string {
  const isDowngrade = from.startsWith('https:') && to?.startsWith('http:');
  return isDowngrade && !isOfRegistry ? 'Ask for the address that it leads to, if you trust that' : tellServer;
}

function adviceForRisk({ what }: ErrorDetails['INSECURE_REFUSED']): string {
  switch (what) {
    case 'deny-net':
      return 'Take the address out of --deny-net, if it may be connected to';
    case 'an image of a registry, unverified':
      return 'If you accept the risk: --insecure-options=image';
    case 'signatures over http':
    case 'a key over http':
      return 'If you accept the risk: --insecure-options=http';
    default:
      return 'The configuration of registries forbids it: see blocked in registries.conf';
  }
}

function adviceForLock({ why }: ErrorDetails['LOCK_MISMATCH']): string {
  if (why === 'missing') return 'Run once without --frozen: then the file has it';
  if (why === 'ambiguous') return 'Ask for one of them only';
  return 'Check what changed; to take the other image, take its entry out of the lock file';
}
