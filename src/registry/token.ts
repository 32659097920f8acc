import * as z from 'zod';

import { ImageError } from '../errors.ts';
import type { HttpDocument, HttpObserver, Refusal } from '../http/contract.ts';
import { headerOf } from '../http/headers.ts';
import { text } from '../image/go-json.ts';
import { describeJsonPlace, parseJsonStrict } from '../image/json.ts';
import { checkShape, formatFault } from '../image/shape.ts';
import { show, showUrl, showUrlsIn } from '../image/show.ts';
import type { RegistryCredential, RegistryOptions } from './types.ts';

type TokenRequest = {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  readonly credential: Exclude<RegistryCredential, { kind: 'bearer' }> | undefined;
};

/** `expiresAtMs` is in milliseconds since the epoch. */
export type Token = { readonly value: string; readonly expiresAtMs: number };

/** The least lifetime of a token, and the one if the server names none. @see distribution, Token Authentication Specification */
const leastMs = 60_000;

/** The token is put into a header unchanged. */
const token = text.refine((value) => /^[\x21-\x7e]*$/.test(value), 'must be visible ASCII');
const shape = z.object({
  token,
  access_token: token,
  expires_in: z.number().positive().optional().catch(undefined),
});

/** @throws ImageError HTTP_STATUS, REDIRECT_REFUSED, LIMIT_EXCEEDED, RESPONSE_INVALID, and network errors. */
export async function requestToken(
  context: Pick<RegistryOptions, 'http' | 'limits' | 'nowMs'> & { readonly observer?: HttpObserver | undefined },
  request: TokenRequest,
  signal: AbortSignal,
): Promise<Token> {
  const { http, observer, limits, nowMs } = context;
  const askedAtMs = nowMs();
  const answer = await http.getDocument(
    {
      ...(request.credential?.kind === 'identity'
        ? tokenExchange(request, request.credential.token)
        : tokenQuery(request)),
      ownCredentials: true,
      limit: { name: 'token', bytes: limits.token },
      statuses: [200],
      decodes: true,
      onRefusal: explainRefusal,
      ...(observer && { observer }),
    },
    signal,
  );
  const { value, lifeMs } = parseToken(answer);
  return { value, expiresAtMs: askedAtMs + lifeMs };
}

export function basicAuthorization(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function tokenQuery({ realm, service, scopes, credential }: TokenRequest) {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credential?.kind !== 'basic') return { url: url.href, redirects: 'same-origin' } as const;
  url.searchParams.set('account', credential.user);
  const authorization = basicAuthorization(credential.user, credential.password);
  return { url: url.href, redirects: 'same-origin', headers: { authorization } } as const;
}

/** @see RFC 6749 6 */
function tokenExchange({ realm, service = '', scopes }: TokenRequest, token: string) {
  const form = { grant_type: 'refresh_token', client_id: 'longshore', service, scope: scopes.join(' ') };
  return {
    method: 'POST',
    url: realm.href,
    redirects: 'none', // the content has the secret
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    content: new URLSearchParams({ ...form, refresh_token: token }).toString(),
  } as const;
}

function parseToken({ body, url }: HttpDocument): { readonly value: string; readonly lifeMs: number } {
  const json = parseJsonStrict(body, { caseSensitive: true });
  if (!json.ok) throw badToken(url, describeJsonPlace(json.fault));
  const shaped = checkShape(shape, json.value);
  if (!shaped.ok) throw badToken(url, `is not a token: ${formatFault(shaped.fault)}`);
  const answer = shaped.value;
  const value = answer.token || answer.access_token;
  if (value === '') throw badToken(url, 'has no token');
  return { value, lifeMs: Math.max(leastMs, (answer.expires_in ?? 0) * 1000) };
}

function badToken(url: string, what: string): ImageError {
  return new ImageError('RESPONSE_INVALID', `the answer of the token server ${what}`, { url: showUrl(url) });
}

const ociErrors = z.object({
  errors: z.array(z.object({ code: text, message: text })).min(1),
});
/** The errors of token servers. */
const otherErrors = z.union([
  z.object({ details: z.string() }).transform(({ details }) => details),
  z.object({ error_description: z.string() }).transform((other) => other.error_description),
  z.object({ message: z.string() }).transform(({ message }) => message),
]);

/** A registry's explanation of its refusal, made safe for one line of a message. @see OCI distribution-spec, Error Codes */
export function explainRefusal({ headers, body }: Pick<Refusal, 'headers' | 'body'>): string | undefined {
  const json = parseJsonStrict(body, { caseSensitive: true });
  if (!json.ok) return explainText(headerOf(headers, 'content-type') ?? '', new TextDecoder().decode(body));
  const list = ociErrors.safeParse(json.value).data?.errors.slice(0, 3);
  const text = list
    ? list.map(({ code, message }) => [code, message].filter(Boolean).join(': ')).join('; ')
    : otherErrors.safeParse(json.value).data;
  return text ? show(showUrlsIn(text)) : undefined;
}

/** The explanation in plain text, or in the XML of object stores, to which registries redirect. */
function explainText(type: string, text: string): string | undefined {
  if (type.startsWith('text/plain')) return show(showUrlsIn(text.trim())) || undefined;
  const said = /^(?:application|text)\/xml/.test(type) ? /<Message>([^<]+)<\/Message>/.exec(text)?.[1] : undefined;
  return said && show(showUrlsIn(said.trim()));
}

/** The texts of the Warning headers, which are meant for the user. @see OCI distribution-spec, Warnings */
export function warningsOf(headers: Refusal['headers']): readonly string[] {
  const texts = [headers['warning'] ?? []].flat();
  return texts.flatMap((text) => {
    const said = /^299 - "((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
    return said ? [show(said.replace(/\\(.)/g, '$1'))] : [];
  });
}
