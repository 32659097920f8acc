import * as z from 'zod';

import { type ErrorDetails, ImageError } from '../errors.ts';
import { checkShape, formatFieldFault } from '../image/shape.ts';
import { show } from '../image/show.ts';
import { type AcceptedKeys, type EnvelopeKey, envelopeOf, openEnvelope } from '../image/sigstore/dsse.ts';
import { textOf } from '../locked-image.ts';

/** The version of the protocol between those who submit batches and workers. */
export const fleetVersion = 1;

/** One kind of document that is signed. */
export type DocumentKind<T> = {
  /** For people, such as `batch`. */
  readonly what: string;
  /** What the signature is over, beside the bytes: a document never passes for one of another kind. */
  readonly payloadType: string;
  readonly maxBytes: number;
  /** Of the document without its member `v`. Members are written in this order. */
  readonly shape: z.ZodType<T>;
};

/** A document, and who has signed it. */
export type Signed<T> = { readonly value: T; readonly keyId: string };

/** Signs a document. @throws BATCH_INVALID if the other side would refuse it */
export async function signDocument<T>(kind: DocumentKind<T>, value: T, key: EnvelopeKey): Promise<string> {
  return await envelopeOf(formatDocument(kind, value), kind.payloadType, key);
}

/**
 * Opens what signDocument has made with one of the accepted keys. What it says is not looked at before.
 *
 * @param keys - `anybody`: its signature does not count, for those who only want to see what is there. @throws BATCH_INVALID
 */
export async function openDocument<T>(
  kind: DocumentKind<T>,
  envelope: string,
  keys: AcceptedKeys | 'anybody',
): Promise<Signed<T>> {
  const opened = await openEnvelope(envelope, { ...kind, keys });
  if ('problem' in opened) throw invalid(`the ${kind.what} ${opened.problem}`, 'signature');
  return { value: parseDocument(kind, opened.payload), keyId: opened.keyId };
}

/** The most characters of an envelope. */
export function envelopeLimit({ maxBytes }: Pick<DocumentKind<unknown>, 'maxBytes'>): number {
  return Math.ceil(maxBytes / 3) * 4 + maxSignatureBytes;
}

/** Signatures and the IDs of keys take less, with the words around them. */
const maxSignatureBytes = 64 * 1024;

/**
 * The bytes that stand for a document: JSON, its members in one order.
 *
 * @throws BATCH_INVALID if the other side would refuse it
 */
export function formatDocument<T>(kind: DocumentKind<T>, value: T): string {
  const text = writeDocument(checked(kind, value));
  if (Buffer.byteLength(text) > kind.maxBytes) throw tooLarge(kind);
  return text;
}

/**
 * Parses a document whose signature was verified. Only the bytes that `formatDocument` writes are accepted, so no member is there twice, and
 * nothing is read in two ways.
 *
 * @throws BATCH_INVALID
 */
export function parseDocument<T>(kind: DocumentKind<T>, payload: Uint8Array): T {
  const { what } = kind;
  if (payload.length > kind.maxBytes) throw tooLarge(kind);
  const { v, ...rest } = parseObject(kind, payload);
  if (v !== fleetVersion) {
    const found = typeof v === 'number' ? String(v) : 'unknown';
    throw invalid(
      `the ${what} is of version ${found} of the protocol, and this program knows version ${fleetVersion}`,
      'version',
    );
  }
  const value = checked(kind, rest);
  if (writeDocument(value) === Buffer.from(payload).toString()) return value;
  throw invalid(`the ${what} is not written as this program writes it`, 'content');
}

function parseObject({ what }: DocumentKind<unknown>, payload: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload));
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // said below
  }
  throw invalid(`the ${what} is no JSON object in UTF-8`, 'content');
}

function checked<T>({ what, shape }: DocumentKind<T>, value: unknown): T {
  const shaped = checkShape(shape, value);
  if (shaped.ok) return shaped.value;
  throw invalid(`the ${what} cannot be used: ${formatFieldFault(shaped.fault)}`, 'content');
}

/** The shape has put the members in order. */
function writeDocument(value: unknown): string {
  return JSON.stringify({ v: fleetVersion, ...(value as object) });
}

function tooLarge({ what, maxBytes }: DocumentKind<unknown>): ImageError<'BATCH_INVALID'> {
  return invalid(`the ${what} has more than ${maxBytes} bytes`, 'content');
}

function invalid(message: string, why: ErrorDetails['BATCH_INVALID']['why']): ImageError<'BATCH_INVALID'> {
  return new ImageError('BATCH_INVALID', show(message, 1000), { why });
}

/** Whether a text can be the name of a batch or of a worker. */
export function isFleetName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(text);
}

/** Members that several documents have. */
export const nameShape = textOf(
  isFleetName,
  'must be 1 to 100 letters, digits, ".", "_" or "-", and begin with a letter or a digit',
);
export const batchIdShape = textOf((text) => /^[0-9a-f]{32}$/.test(text), 'must be 32 lower-case hex digits');
export const timeShape = z.int().min(0).max(8_640_000_000_000_000);
