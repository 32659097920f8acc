import { hasCode, ImageError } from '../errors.ts';
import type { HttpObserver } from '../http/contract.ts';
import { show, showUrl } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { abortable, singleFlight } from '../system/single-flight.ts';
import { basicAuthorization, requestToken, type Token } from './token.ts';
import type { RegistryCredential, RegistryOptions } from './types.ts';

const debug = debugLog('registry');

/** The origin that answers, and its challenges to a request without credentials. */
export type Connection = { readonly origin: string; readonly challenges: readonly Challenge[] };

/** What a request does: `scopes` are those of its token. The credentials are those for the repository. */
export type Access = { readonly repository: string; readonly scopes: readonly string[] };

export function pullAccess(repository: string): Access {
  return { repository, scopes: [`repository:${repository}:pull`] };
}

/** @param from - a repository of the same registry from which a blob is to be mounted. */
export function pushAccess(repository: string, from?: string): Access {
  const own = `repository:${repository}:pull,push`;
  const isOther = from !== undefined && from !== repository;
  return { repository, scopes: isOther ? [own, ...pullAccess(from).scopes] : [own] };
}

/** Authorizes the requests to one registry. */
type Authorizer = {
  /** The Authorization header for an access, if the registry requires one. @throws ImageError AUTH_REQUIRED, AUTH_DENIED */
  authorization(access: Access, observer: HttpObserver | undefined, signal: AbortSignal): Promise<string | undefined>;
  /** A new header after a 401 to a request with the header `sent`; undefined if there is no other. @throws as authorization */
  renew(
    access: Access,
    refused: {
      readonly sent: string | undefined;
      readonly challenges: readonly Challenge[];
      readonly observer: HttpObserver | undefined;
    },
    signal: AbortSignal,
  ): Promise<string | undefined>;
  /** The error for a final refusal. @param said - the explanation of the registry, safe to show. */
  denial(repository: string, said: string | undefined, cause: unknown, signal: AbortSignal): Promise<ImageError>;
};

type Context = Pick<RegistryOptions, 'http' | 'limits' | 'nowMs' | 'credentials'>;

/** The observer is that of the caller for whom the token is requested. */
type GetToken = (signal: AbortSignal, observer: HttpObserver | undefined) => Promise<Token>;

/** A token is not used in its last seconds before it expires. */
const marginMs = 5000;

/** @param host - the host whose credentials are looked up. */
export function createAuthorizer(context: Context, host: string, { origin, challenges }: Connection): Authorizer {
  // all by access
  /** The challenges of the last refusal. */
  const lastChallenges = new Map<string, readonly Challenge[]>();
  const scopesOf = new Map<string, ReadonlySet<string>>();
  const tokens = new Map<string, GetToken>();

  async function tokenFor(
    access: Access,
    challenge: Challenge,
    observer: HttpObserver | undefined,
    signal: AbortSignal,
  ): Promise<Token> {
    const key = keyOf(access);
    const known = tokens.get(key) ?? remember(access, challenge);
    const token = await known(signal, observer);
    if (token.expiresAtMs - marginMs > context.nowMs()) return token;
    if (tokens.get(key) === known) tokens.delete(key);
    return (tokens.get(key) ?? remember(access, challenge))(signal, observer);
  }

  function remember(access: Access, challenge: Challenge): GetToken {
    const { repository } = access;
    const get: GetToken = singleFlight(async (signal, observer) => {
      const credential = await lookUp(repository);
      debug(() => `${show(host)}: wants a token for ${show(repository)}; credentials: ${credential?.kind ?? 'none'}`);
      if (credential?.kind === 'bearer') return { value: credential.token, expiresAtMs: Infinity };
      const scopes = scopesOf.get(keyOf(access)) ?? new Set(access.scopes);
      const realm = realmOf(challenge, origin);
      if (!(realm instanceof URL)) throw authError(host, repository, credential, realm);
      try {
        const request = { realm, service: challenge.parameters.get('service'), scopes: [...scopes], credential };
        return await requestToken({ ...context, observer }, request, signal);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        throw authError(host, repository, credential, `at its token server: ${error.message}`, error);
      }
    });
    tokens.set(keyOf(access), get);
    return get;
  }

  async function authorization(
    access: Access,
    observer: HttpObserver | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const bearer = challengeFor(access, 'bearer');
    if (bearer) return `Bearer ${(await tokenFor(access, bearer, observer, signal)).value}`;
    const credential = challengeFor(access, 'basic') && (await credentialFor(access.repository, signal));
    return credential?.kind === 'basic' ? basicAuthorization(credential.user, credential.password) : undefined;
  }

  /** A credential helper may be slow: an aborted request does not wait for it. */
  function credentialFor(repository: string, signal: AbortSignal): Promise<RegistryCredential | undefined> {
    return abortable(lookUp(repository), signal);
  }

  async function lookUp(repository: string): Promise<RegistryCredential | undefined> {
    try {
      return await context.credentials(host, repository);
    } catch (error) {
      if (!hasCode(error, 'CONFIG_INVALID')) throw error;
      const message = `the credentials for ${show(host)} are not available: ${error.message}`;
      throw new ImageError('AUTH_REQUIRED', message, { host }, { cause: error });
    }
  }

  const challengeFor = (access: Access, scheme: string) =>
    (lastChallenges.get(keyOf(access)) ?? challenges).find((challenge) => challenge.scheme === scheme);

  return {
    authorization,
    async denial(repository, said, cause, signal) {
      return authError(host, repository, await credentialFor(repository, signal), said, cause);
    },
    async renew(access, { sent, challenges: now, observer }, signal) {
      const key = keyOf(access);
      if (now.some(({ scheme }) => scheme === 'bearer' || scheme === 'basic')) lastChallenges.set(key, now);
      const bearer = now.find(({ scheme }) => scheme === 'bearer');
      const scopes = bearer?.parameters.get('scope')?.split(' ').filter(Boolean) ?? [];
      scopesOf.set(key, new Set([...access.scopes, ...scopes].slice(0, maxScopes)));
      const current = await tokens.get(key)?.(signal, observer);
      if (current && `Bearer ${current.value}` === sent) tokens.delete(key);
      const another = await authorization(access, observer, signal);
      return another === sent ? undefined : another;
    },
  };
}

const maxScopes = 8;

function keyOf({ scopes }: Access): string {
  return scopes.join(' ');
}

/** The URL of the token server, or why it is not asked. @see docs/rules.md R5 */
function realmOf({ parameters }: Challenge, origin: string): URL | string {
  const text = parameters.get('realm') ?? '';
  const realm = URL.parse(text, origin);
  if (text === '' || realm === null) return 'it does not name its token server';
  const isAllowed = realm.protocol === 'https:' || (realm.protocol === 'http:' && origin.startsWith('http:'));
  if (isAllowed && realm.username === '' && realm.password === '') return realm;
  return `it names a token server that is not allowed: ${showUrl(text)}`;
}

/** Whether an error means that the token server refuses. */
function isRefusal(error: unknown): error is ImageError {
  if (hasCode(error, 'HTTP_STATUS')) return error.details.status >= 400 && error.details.status < 500;
  return hasCode(error, 'REDIRECT_REFUSED');
}

function authError(
  host: string,
  repository: string,
  credential: RegistryCredential | undefined,
  said: string | undefined,
  cause?: unknown,
): ImageError {
  const why = said === undefined ? '' : `: ${said}`;
  const what = show(`${host}/${repository}`);
  return credential
    ? new ImageError(
        'AUTH_DENIED',
        `the registry denies access to ${what} with the configured credentials${why}`,
        { host },
        { cause },
      )
    : new ImageError('AUTH_REQUIRED', `the registry requires credentials for ${what}${why}`, { host }, { cause });
}

/** A challenge of WWW-Authenticate; the scheme and the names of parameters are in lower case. */
export type Challenge = { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> };

const separators = /[\s,]*/y;
const schemeForm = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]+|(?=,)|$)/y;
const parameterForm = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
/** Some schemes have this instead of parameters. @see RFC 9110 11.2 */
const token68 = /[0-9A-Za-z._~+/-]+=*(?=\s*(?:,|$))/y;

/**
 * Parses the challenges of WWW-Authenticate, which may be repeated and may have several challenges in one value. After text that is
 * not a challenge, the rest of a value is ignored.
 *
 * @see RFC 9110 11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const texts = typeof header === 'string' ? [header] : (header ?? []);
  return texts.flatMap(parseOne);
}

function parseOne(text: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  const match = (form: RegExp): RegExpExecArray | null => {
    form.lastIndex = at;
    const found = form.exec(text);
    if (found) at = form.lastIndex;
    return found;
  };
  for (;;) {
    match(separators);
    const scheme = match(schemeForm)?.[1];
    if (scheme === undefined) return challenges;
    const parameters = new Map<string, string>();
    match(token68);
    for (let found = match(parameterForm); found; match(separators), found = match(parameterForm)) {
      const [, name = '', quoted, bare = ''] = found;
      parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? bare);
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
}
