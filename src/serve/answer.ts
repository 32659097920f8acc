import type { FileHandle } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';

import { show } from '../image/show.ts';

/** What is asked: a path and a query, decoded. Nothing in it has been checked. */
export type Asked = {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Of this server, as the client names it: `http://127.0.0.1:5000`. */
  readonly origin: string;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
};

/** What an answer is about, for the metrics. */
export type AnswerKind =
  | 'base'
  | 'manifest'
  | 'blob'
  | 'tags'
  | 'referrers'
  | 'catalog'
  | 'discovery'
  | 'archive'
  | 'health'
  | 'metrics'
  | 'refused';

/** An open file, from one byte to another. Whoever sends it closes it. */
export type FileBody = { readonly file: FileHandle; readonly from: number; readonly to: number };

export type Answer = {
  readonly kind: AnswerKind;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Uint8Array | string | FileBody;
};

/** The codes of errors of a registry. @see OCI distribution-spec, Error Codes */
export type RegistryErrorCode =
  | 'BLOB_UNKNOWN'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'PAGINATION_NUMBER_INVALID'
  | 'UNAVAILABLE';

/** An error in the form of the distribution specification. Programs that know none read a line of text in it. */
export function refusal(
  status: number,
  code: RegistryErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const body = `${JSON.stringify({ errors: [{ code, message: show(message, 1000) }] })}\n`;
  return { kind: 'refused', status, headers: { 'content-type': 'application/json', ...headers }, body };
}

/** What a client has, or which part of it is asked for. */
type Conditions = {
  readonly 'if-none-match'?: string | undefined;
  readonly 'if-range'?: string | readonly string[] | undefined;
  readonly range?: string | undefined;
};

/**
 * How something that has a strong validator is answered: as a whole, in one part, or not at all. Several parts in one answer are
 * not offered, so a request for them is answered with the whole.
 *
 * @see RFC 9110, sections 13 and 14
 */
export type Selection =
  | { readonly status: 200 | 206; readonly from: number; readonly to: number }
  | { readonly status: 304 }
  | { readonly status: 416 };

/** @param etag - with its quotes. @param size - in bytes. */
export function select(headers: Conditions, etag: string, size: number): Selection {
  const whole: Selection = { status: 200, from: 0, to: size };
  const known = headers['if-none-match'];
  if (known !== undefined && isKnown(known, etag)) return { status: 304 };
  const condition = headers['if-range'];
  if (headers.range === undefined || (condition !== undefined && condition !== etag)) return whole;
  return rangeOf(headers.range, size) ?? whole;
}

function isKnown(known: string, etag: string): boolean {
  return known.split(',').some((one) => ['*', etag, `W/${etag}`].includes(one.trim()));
}

/** One range of bytes; undefined for anything that is not one. */
function rangeOf(text: string, size: number): Selection | undefined {
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,16})\s*-\s*(\d{0,16})\s*$/i.exec(text) ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const from = Math.max(0, size - Number(last));
    return from < size ? { status: 206, from, to: size } : { status: 416 };
  }
  if (last !== '' && Number(last) < Number(first)) return undefined;
  if (Number(first) >= size) return { status: 416 };
  return { status: 206, from: Number(first), to: last === '' ? size : Math.min(size, Number(last) + 1) };
}
