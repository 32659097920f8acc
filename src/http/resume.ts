import { parseContentRange, parseUnsatisfiedRange } from './content-range.ts';
import { contentLength, headerOf } from './headers.ts';
import type { Headers, Sink, Validator } from './types.ts';
import { mayBeSame, strongValidator } from './validator.ts';

/** What a download asks for: everything, everything unless it is as known, or what is missing. */
export type Asked =
  | { readonly kind: 'whole' }
  | { readonly kind: 'unless-known' }
  | {
      readonly kind: 'rest';
      readonly from: number;
      readonly total: number | undefined;
      readonly validator: Validator | undefined;
    };

export type Verdict =
  | { readonly kind: 'whole'; readonly total: number | undefined; readonly validator: Validator | undefined }
  | { readonly kind: 'rest'; readonly total: number }
  | { readonly kind: 'nothing-missing' }
  | { readonly kind: 'not-modified' }
  /** Resuming has failed: once more from the start. A later range may be asked for, or ranges are not to be trusted. */
  | { readonly kind: 'start-over'; readonly mayResumeLater: boolean }
  /** The status is no answer to what was asked. */
  | { readonly kind: 'refused' };

/** The part of what is asked for that a sink needs. Without a validator bytes are worth nothing, unless they are `immutable`. */
export function askFor({ bytes, total, validator }: Sink, isKnown: boolean, immutable: boolean): Asked {
  if (bytes > 0 && (validator || immutable)) return { kind: 'rest', from: bytes, total, validator };
  return { kind: bytes === 0 && isKnown ? 'unless-known' : 'whole' };
}

/** @see docs/rules.md H2, H4 */
export function judge(asked: Asked, status: number, headers: Headers): Verdict {
  if (status === 200) return { kind: 'whole', total: contentLength(headers), validator: strongValidator(headers) };
  if (status === 304 && asked.kind === 'unless-known') return { kind: 'not-modified' };
  if (asked.kind !== 'rest') return { kind: 'refused' };
  const isSame = !asked.validator || mayBeSame(asked.validator, headers);
  if (status === 206) {
    const total = restTotal(asked, headers);
    return isSame && total !== undefined ? { kind: 'rest', total } : { kind: 'start-over', mayResumeLater: false };
  }
  if (status === 501) return { kind: 'start-over', mayResumeLater: false };
  if (status === 416) {
    const total = parseUnsatisfiedRange(headerOf(headers, 'content-range')) ?? asked.total;
    return isSame && total === asked.from ? { kind: 'nothing-missing' } : { kind: 'start-over', mayResumeLater: true };
  }
  return { kind: 'refused' };
}

/** The size of the whole, if a 206 begins where it should and agrees with what is known. */
function restTotal({ from, total }: Asked & { kind: 'rest' }, headers: Headers): number | undefined {
  const range = parseContentRange(headerOf(headers, 'content-range'));
  if (!range || range.start !== from) return undefined;
  const length = contentLength(headers);
  if (length !== undefined && length !== range.end - range.start + 1) return undefined;
  if (total !== undefined && range.total !== undefined && range.total !== total) return undefined;
  return range.total ?? total;
}
