import { ImageError, isImageError } from '../errors.ts';
import { show, showUrl } from '../image/show.ts';
import { systemFailure, tlsProblem } from '../system/errno.ts';
import type { HttpTimeouts } from './contract.ts';

/** The bytes of the body when an exchange failed; undefined if it failed before the headers. */
export type Progress = { readonly received: number; readonly expected: number | undefined } | undefined;

/** The other side of an exchange: the `proxy` that failed, or else the server of the URL, reached through a `forwarder` if given. */
type Peer = { readonly url: string; readonly proxy: string | undefined; readonly forwarder: string | undefined };

/** Converts a failure of sockets, TLS, undici's parser or DNS into an ImageError; any other error is returned unchanged. */
export function networkError(error: unknown, peer: Peer, timeouts: HttpTimeouts, progress: Progress): unknown {
  if (isImageError(error) || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const proxy = peer.proxy ?? peer.forwarder;
  const url = showUrl(peer.url);
  const shown = { url, ...(proxy !== undefined && { proxy }) };
  const who = nameOf(peer);
  const timeout = (what: string, waitedMs: number) =>
    new ImageError(
      'TIMEOUT',
      `no ${what} ${who} within ${waitedMs / 1000} s`,
      { ...shown, waitedMs },
      { cause: error },
    );
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return timeout('connection to', timeouts.connectMs);
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return timeout('answer from', timeouts.headersMs);
  const certificate = tlsProblem(code);
  if (certificate !== undefined) {
    return new ImageError('TLS', `${certificate} (${who})`, { ...shown, reason: code }, { cause: error });
  }
  if (isMalformed(code, error, progress)) {
    const what = malformation(code, error);
    const where = progress ? `, after ${progress.received} bytes of the body` : '';
    return new ImageError('RESPONSE_INVALID', `not a proper HTTP response from ${who}${where}: ${what}`, shown, {
      cause: error,
    });
  }
  if (progress?.expected !== undefined && /^UND_ERR_(RES_CONTENT_LENGTH_MISMATCH|SOCKET)$/.test(code)) {
    const { expected, received } = progress;
    const message = `the body ended after ${received} of ${expected} bytes (${who})`;
    return new ImageError('LENGTH_MISMATCH', message, { url, expected, received }, { cause: error });
  }
  if (/^UND_ERR_(CLOSED|DESTROYED)$/.test(code)) {
    return new ImageError('CANCELLED', 'the http client was closed', { reason: 'closed' }, { cause: error });
  }
  if (!networkCodes.test(code)) return error;
  const message = `${problemOf(code, error)} (${who})`;
  return new ImageError('NETWORK', message, { ...shown, reason: code }, { cause: error });
}

/** The fault of a response. The parser's own messages are not shown: some mention protocols that were not requested. */
function malformation(code: string, error: Error): string {
  if (error.name === 'HTTPParserError') {
    const parsed = 'code' in error ? String(error.code) : '';
    return malformations[parsed] ?? 'it cannot be read';
  }
  return malformations[code] ?? show(error.message);
}

const badLength = 'it has two lengths, or one that is not a number';

const malformations: Readonly<Record<string, string>> = {
  HPE_INVALID_CONSTANT: 'it does not begin with "HTTP/"',
  HPE_INVALID_VERSION: 'its HTTP version is not valid',
  HPE_INVALID_STATUS: 'its status is not a number of three digits',
  HPE_INVALID_HEADER_TOKEN: 'a header has a character that is not allowed',
  HPE_CR_EXPECTED: 'a line does not end as it must',
  HPE_LF_EXPECTED: 'a line does not end as it must',
  HPE_STRICT: 'a line does not end as it must',
  HPE_UNEXPECTED_CONTENT_LENGTH: badLength,
  HPE_INVALID_CONTENT_LENGTH: badLength,
  HPE_INVALID_TRANSFER_ENCODING: 'its transfer codings do not end with one "chunked"',
  HPE_INVALID_CHUNK_SIZE: 'the size of a chunk is not a number',
  UND_ERR_HEADERS_OVERFLOW: 'headers of more than 64 KiB',
  UND_ERR_SOCKET: 'it changes the protocol, which was not requested',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'a header cannot be read', // undici reports any fault after a Content-Length so
};

const parserCode = 'HTTP_PARSER';

/** An error for what undici's parser accepts though it should not. */
export function malformedError(what: string): Error {
  return Object.assign(new Error(what), { code: parserCode });
}

/** The code of an error. undici's parser errors share one code here, except the one for a connection that closed too early. */
function codeOf(error: Error): string {
  if (error.name === 'HTTPParserError') return /Invalid EOF state/.test(error.message) ? 'UND_ERR_SOCKET' : parserCode;
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function isMalformed(code: string, error: Error, progress: Progress): boolean {
  if (code === parserCode || code === 'UND_ERR_HEADERS_OVERFLOW') return true;
  if (progress) return false;
  if (code === 'UND_ERR_SOCKET') return /^bad (response|upgrade)$/.test(error.message);
  return code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'; // before the body
}

/** The codes of the system and of undici for a failed connection; any other code means a bug. */
const networkCodes = /^(E(?!RR_)[A-Z0-9_]+|UND_ERR_(SOCKET|RES_CONTENT_LENGTH_MISMATCH))$/;

const connectionCut = 'the connection was cut';

const problems: Readonly<Record<string, string>> = {
  EAI_AGAIN: 'the name cannot be resolved at the moment',
  ENOTFOUND: 'no such host',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: connectionCut,
  EPIPE: connectionCut,
  UND_ERR_SOCKET: connectionCut,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: connectionCut,
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'the connection timed out',
};

function problemOf(code: string, error: Error): string {
  if (code.startsWith('EAI_')) return problems[code] ?? `the name cannot be resolved (${code})`;
  return problems[code] ?? systemFailure(error)?.what ?? show(error.message || code);
}

function nameOf({ url, proxy, forwarder }: Peer): string {
  if (proxy !== undefined) return `the proxy ${proxy}`;
  const host = show(URL.parse(url)?.host ?? '');
  return forwarder === undefined ? host : `${host}, through the proxy ${forwarder}`;
}
