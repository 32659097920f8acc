import {
  type AppInput,
  defaultLimits,
  type ErrorCode,
  type ErrorDetails,
  hasCode,
  type ImageError,
  isOfRegistry,
  parseIdentity,
  show,
  showUrl,
} from '../../internal.ts';
import { describeErrno, isNoEntry } from '../../system/errno.ts';
import { kebab } from '../options/values.ts';

const later = 'Run again later: what was transferred is kept';
const tellServer = 'Tell the operator of the server';
const authD = 'auth.d of the configuration';
/** The limits that a user can change. */
const limits: readonly string[] = Object.keys(defaultLimits);

const anew = 'Submit it anew, which gives it an id of its own';
const adviceForBatch: Readonly<Record<ErrorDetails['BATCH_INVALID']['why'], string>> = {
  signature: 'If you know who signed it, name the public key with --accept (for workers with --accept-worker)',
  content: 'Correct it and submit it anew',
  version: 'Use the same version of longshore on all machines',
  expired: "Submit it anew; if it is not that old, check this machine's clock",
  future: 'Check the clocks of this machine and of the one that submitted it',
  used: anew,
  ended: anew,
  cancelled: anew,
};
const adviceForQueue: Readonly<Record<ErrorDetails['QUEUE_UNAVAILABLE']['reason'], string>> = {
  unreachable: 'Check the address of --queue, and that Redis runs there',
  password: 'Check the user and password, in the file of --queue-auth or the URL of LONGSHORE_QUEUE',
  tls: 'Name the authority of its certificate with --queue-ca, and the host as the certificate has it; rediss:// needs a port for TLS',
  notRedis: 'Check the address of --queue: something else answers there',
};

/** The request, as far as advice depends on it. */
type Asked = { readonly image: string; readonly isOfRegistry: boolean };
type Advise<C extends ErrorCode> = (details: ErrorDetails[C], asked: Asked) => string;

/** Advice for the user, by error code: one sentence without its full stop. */
const advice: { readonly [C in ErrorCode]: string | Advise<C> } = {
  INTERNAL: 'This is a bug: run again with --debug and report what it prints',
  USAGE: ({ option }) => {
    if (option === 'overwrite') return 'Choose another place, or replace what is there with --overwrite';
    return option === 'scoped'
      ? 'Keep their hosts in the names with --scoped, or leave out all but one of them'
      : 'See --help';
  },
  REFERENCE_INVALID: ({ didYouMean }) => suggest(didYouMean, 'Correct it and run again'),
  LIST_INVALID: 'Correct it and run again',
  CONFIG_INVALID: 'Correct the file or remove it',
  NOT_IN_STORE: adviceForMissing,
  ID_AMBIGUOUS: 'Give more digits, or the name of the image',
  ID_TOO_SHORT: 'Give two digits or more',
  FILE_NOT_FOUND: 'Check the path',
  DISCOVERY_FAILED: ({ didYouMean }) =>
    suggest(didYouMean, 'Check the name, or say where to ask with --discover PREFIX=ORIGIN'),
  PLATFORM_MISSING: 'Ask for one of the platforms it has, with --platform',
  HTTP_STATUS: adviceForStatus,
  ARCHIVE_UNREADABLE: adviceForFormat,
  ARCHIVE_INVALID: ({ rule }) => {
    const again = `It has to be made again, following ${rule} in docs/rules.md: tell its publisher, if that is not you`;
    if (!/^A[47]$/.test(rule)) return again;
    return `Bring it again, in case it was cut or damaged on its way; otherwise ${lowerFirst(again)}`;
  },
  MANIFEST_INVALID: 'It has to be made again: tell its publisher, if that is not you',
  NAME_INVALID: 'Check the name',
  NAME_MISMATCH: 'Ask for it under its own name',
  LABEL_INVALID: 'Check the labels',
  LABEL_MISMATCH: 'Ask for labels that it has',
  IMAGE_ID_MISMATCH: 'Check the image ID that was asked for, by you or by the image that needs it',
  DIGEST_MISMATCH: ({ of }) =>
    of === 'archive'
      ? 'It was altered or damaged on its way: bring it again, or tell who made it'
      : 'Check the digest that was asked for, or tell the operator of the server',
  SIZE_MISMATCH: 'Check the size that was asked for, or tell the operator of the server',
  SIGNATURE_MISSING: ({ of }, { isOfRegistry }) =>
    of === 'bundle'
      ? 'Fetch it with its signature and --keep-archives where the bundle was made, and export it again, or lift the check with --insecure-options=image'
      : isOfRegistry
        ? 'Publish one, as cosign sign or skopeo copy --sign-by makes it, or lift the check with --insecure-options=image'
        : 'Publish it there, in a fetch name it with --signature, or lift the check with --insecure-options=image',
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
    /md5|ripemd|elgamal|public key/i.test(algorithm)
      ? 'Ask the publisher for a stronger signature'
      : 'Ask the publisher for a stronger signature, or accept it with --insecure-options=weak-keys',
  LIMIT_EXCEEDED: adviceForLimit,
  REDIRECT_REFUSED: adviceForRedirect,
  INSECURE_REFUSED: adviceForRisk,
  TRUSTED_ROOT_REFUSED:
    "Nothing was changed: check this machine's clock, ask another --mirror, or name the root.json of this repository with --initial-root; if that does not help, tell who runs it",
  POLICY_REFUSED: 'Have it signed as the policy requires, or ask who keeps the policy to change it',
  PUSH_REFUSED: ({ reason }) => adviceForRefusedPush[reason],
  TAG_EXISTS: ({ asked }) =>
    asked.startsWith('sha256:')
      ? 'Push it to another place, or leave --no-overwrite out'
      : 'Push it to another place, or remove that tag there', // the tag of a list, which has something else
  BATCH_EXISTS:
    'Give it another name with --batch: this one is free again when the results of that batch are no longer kept',
  BATCH_NOT_FOUND: 'See longshore fleet status: results are kept for as long as the batch asked for',
  BATCH_INVALID: ({ why }) => adviceForBatch[why],
  WORKERS_LOST:
    'Fetch it alone on one machine, and see whether that runs out of memory; the logs of the workers say how they ended',
  TARGET_REFUSED: 'Start workers that may push there, with --allow-to',
  QUEUE_UNAVAILABLE: ({ reason }) => adviceForQueue[reason],
  DEPENDENCY_CYCLE: 'None of these images can be the first: tell the publisher, if that is not you',
  DEPENDENCY_FAILED: 'See the error of the dependency',
  AUTH_REQUIRED: `Log in with podman or docker, or put credentials for this host into ${authD}`,
  AUTH_DENIED: `Check the credentials for this host, those that podman and docker keep and those in ${authD}`,
  NETWORK: ({ reason }) =>
    reason === 'ENOTFOUND' ? 'Check the name of the host' : `Check the connection; ${later.toLowerCase()}`,
  TIMEOUT: `${later}, or wait longer with --timeout`,
  STALLED: later,
  TLS: 'Check the certificate and the clock, or name its authority with --ca-file',
  RESPONSE_INVALID: tellServer,
  LENGTH_MISMATCH: later,
  RATE_LIMITED: (_, { isOfRegistry }) =>
    `Wait, then run again; --jobs-per-host=1 asks less${isOfRegistry ? ', and registries often allow more after a login' : ''}`,
  STORE_CORRUPT: ({ errno }) => adviceForErrno(errno, 'Run: longshore image verify --repair'),
  STORE_BUSY: 'Wait for the other process, then run again',
  STORE_FULL: 'Free space there, in a store for example with longshore image gc, and run again',
  STORE_READ_ONLY: 'Choose a place that can be written, for the store with --dir, or have it made writable',
  STORE_VERSION:
    'Use the longshore that wrote this store, or a newer one; if the index is of another program, choose another --dir',
  FILE_UNREADABLE: ({ errno }) => adviceForErrno(errno, 'Check the path, what is there, and its permissions'),
  OUTPUT_FAILED: ({ reason }) =>
    `${/^(?:ENOSPC|EDQUOT|EFBIG)$/.test(reason) ? 'Free space there' : 'Check what is there'}, or write it elsewhere, and run again`,
  LOCK_MISMATCH: adviceForLock,
  CANCELLED: later,
  CLOSED: 'Report it as a bug: the command closes nothing that it still uses',
};

const adviceForRefusedPush: { readonly [R in ErrorDetails['PUSH_REFUSED']['reason']]: string } = {
  type: 'Push it to a registry that takes such images, or ask the operator of this one',
  tag: 'Choose another place for it, or ask the operator of the registry to let the tag be moved',
  size: 'Ask the operator of the registry to allow larger uploads',
  quota: 'Free space in the registry, or ask its operator for more',
};

/** @param request - in the caller's words; a text that is read as a digest or a scheme says is of a registry, too. */
export function adviceFor(error: ImageError, request: Pick<AppInput, 'image' | 'type'> = { image: '' }): string {
  const { code, details } = error;
  if (code !== 'LIMIT_EXCEEDED' && 'keep' in details) return 'Fetch it with --keep=oci, or tell its publisher';
  if (code === 'CONFIG_INVALID' && isNoEntry(error.cause)) return 'Check the path';
  if (code === 'AUTH_REQUIRED' && hasCode(error.cause, 'CONFIG_INVALID'))
    return 'Correct the file with the credentials, or remove it';
  if (code === 'POLICY_REFUSED' && error.cause === undefined)
    return 'No signature would do: ask for an image that the policy accepts, or ask who keeps the policy to change it';
  if ('proxy' in details) return adviceForProxy(error);
  const found = Object.hasOwn(advice, code) ? advice[code] : advice.INTERNAL;
  if (typeof found === 'string') return found;
  const { image } = request;
  const asked = { image, isOfRegistry: isOfRegistry(request) || /^sha256:/i.test(image) };
  try {
    return (found as Advise<ErrorCode>)(details, asked); // the details belong to the code
  } catch (error) {
    if (error instanceof TypeError) return 'See where it happened'; // another version of this program, on another machine, has other details
    throw error;
  }
}

/** For a name that may be meant as an image of a registry. */
function suggest(reference: string | undefined, otherwise: string): string {
  if (reference === undefined) return otherwise;
  return `Did you mean ${show(reference, 1000)}, or --names=registry? Otherwise ${lowerFirst(otherwise)}`;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

/** Advice for a failure of the proxy, which the message names. */
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
      return 'Choose another path, for the store with --dir, or remove what is in its place';
    case 'limit':
      return 'Use a lower --jobs, or raise the limit: for open files with ulimit -n';
    case 'failing':
      return 'Check the disk, and the log of the system';
    case 'absent':
    case 'full':
    case 'denied':
    case undefined:
      return otherwise;
  }
}

function adviceForMissing({ asked, of }: ErrorDetails['NOT_IN_STORE']): string {
  if (of === 'archive') return 'Without names, image import brings all that it has';
  if (of === 'other-store')
    return 'Import it there, or have it made again, without --without or by what this store has';
  if (of === 'archives-only')
    return 'Carry it in a bundle (image export --format=bundle), or let others fetch it from longshore serve';
  if (of === 'keystore') return 'See what is trusted with: longshore trust list';
  if (/^sha\d+[-:]/.test(asked))
    return 'See what is there with longshore image list; other images have to be fetched by name or address';
  return 'Fetch it first (without --store-only), or see what is there with: longshore image list';
}

function adviceForStatus(details: ErrorDetails['HTTP_STATUS'], { image, isOfRegistry }: Asked): string {
  const { status, url } = details;
  // a name, or a redirect, leads to an address that the user does not know
  const checkAddress = showUrl(image) === url ? 'Check the address' : `Check the address: ${show(url, 1000)}`;
  switch (status) {
    case 401:
    case 403:
      return suggest(details.didYouMean, adviceForDenial(details));
    case 405:
      return isOfRegistry ? 'Check the registry: it may be read-only' : checkAddress;
    case 407:
      return 'Put user and password into the address of the proxy: http://USER:PASSWORD@HOST:PORT';
    case 408:
    case 425:
    case 429:
      return later;
    case 451:
      return 'Ask the operator of the server, which is not allowed to send it';
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
    return `Run again: ${redirectedFrom} may redirect elsewhere then; otherwise tell its operator`;
  if (url.startsWith('http:')) return 'Ask for it over https: credentials are not sent over http';
  return takesNoCredentials ? tellServer : `Put credentials for this host into ${authD}, or check those that are there`;
}

/** Advice for recognised formats that are not supported: how to convert them. The first match counts. */
const repacking: readonly (readonly [looksLike: RegExp, advice: string])[] = [
  [/^an old tar/, 'Make it again, for example with tar --format=ustar'],
  [/volume label/, 'Make it again without --label'],
  [/^an image archive in a pipe/, 'Write it to a file, and import that'],
  [/^an archive of (?:docker|an OCI)/, 'Bring its images into the store with: longshore image import FILE'],
  [/^xz with a (?:sha256 )?check/, 'Make it again with xz --check=crc64'],
  [/^xz with the .* filter/, 'Make it again with xz and no filter but --lzma2'],
  [/^xz with a dictionary/, 'Make it again with xz -9 or less'],
  [/^xz with a larger/, 'Make it again with xz in one go'],
  [/^zstd with a window/, 'Make it again with zstd --long=27 or less'],
  [/^(?:zstd|lz4|lzma|lzip|compress)/, 'Compress it again as gzip, bzip2 or xz'],
  [/^(?:zip|7-Zip|RAR)/, 'Pack it again as a tar'],
  [/^OpenPGP encrypted/, 'Decrypt it first'],
];

function adviceForFormat({ path, looksLike }: ErrorDetails['ARCHIVE_UNREADABLE']): string {
  const isRemote = /^[a-z][a-z0-9+.-]*:/i.test(path); // a URL, or a digest
  if (looksLike === undefined)
    return isRemote
      ? 'It is damaged: fetch it again, or tell its publisher'
      : 'It is damaged: bring it again, or tell who made it';
  const known = repacking.find(([pattern]) => pattern.test(looksLike))?.[1];
  return known ?? (isRemote ? 'Check that the address leads to an image' : 'Check that this is the file of an image');
}

function adviceForLimit({ limit, keep }: ErrorDetails['LIMIT_EXCEEDED']): string {
  if (limit === 'heap') return 'If there is more memory, allow it: NODE_OPTIONS=--max-old-space-size=MIB';
  if (limits.includes(limit)) {
    return `If it may be so large, raise it with --limit ${kebab(limit)}=VALUE${keep ? ', or fetch it with --keep=oci' : ''}`;
  }
  return keep ? 'Fetch it with --keep=oci' : 'It is more than longshore accepts';
}

/** The command that adds a signer's key. The message has named the signers and where keys were searched. */
function adviceForSigner({ name, signers, missing }: ErrorDetails['KEY_UNKNOWN'], { isOfRegistry }: Asked): string {
  const trust = `longshore trust --prefix ${show(name)}`;
  if (missing)
    return 'Get that of the sigstore project with longshore trust update-root, or name that of another instance: --trusted-root FILE';
  const identity = parseIdentity(signers[0] ?? '');
  if (identity) {
    const { subject, issuer } = identity;
    return `If the signer deserves it: ${trust} --identity ${show(subject, 2048)} --issuer ${show(issuer, 2048)}`;
  }
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
    case 'denyNet':
      return 'Remove the address from --deny-net, if connections to it are allowed';
    case 'an image of a registry, unverified':
      return 'If it is signed: longshore trust --prefix HOST/REPOSITORY with the key of its signer. If you accept the risk: --insecure-options=image';
    case 'signatures over http':
    case 'a key over http':
    case 'a trusted root over http':
      return 'If you accept the risk: --insecure-options=http';
    default:
      return 'The configuration of registries forbids it: see blocked in registries.conf';
  }
}

function adviceForLock({ why }: ErrorDetails['LOCK_MISMATCH']): string {
  if (why === 'missing') return 'Run once without --frozen: then the file has it';
  if (why === 'ambiguous') return 'Ask for one of them only';
  return 'Check what changed; to take what is there now, take its entry out of the lock file, or run once with --relock';
}
