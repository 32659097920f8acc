import { createHmac, randomBytes } from 'node:crypto';
import { isIPv6, type Socket } from 'node:net';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { isLoopbackName } from '../registry/place.ts';
import { setNewest } from '../system/bounded-map.ts';
import { type Answer, refusal } from './answer.ts';

/** The name or address in a Host header, without its port; undefined if there is none. */
export function hostOf(header: string | undefined): string | undefined {
  const [, address, name] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? '') ?? [];
  if (address !== undefined) return isIPv6(address) ? address.toLowerCase() : undefined;
  return name?.toLowerCase().replace(/\.$/, '');
}

/**
 * Refuses a request under a name that is not ours. A page in a browser may have its own name resolve to this machine, and then read
 * what is served here (DNS rebinding); what it asks for has its own name as Host.
 *
 * @param hosts - the Host headers: of several, a proxy before this server may have looked at another one than we.
 * @param names - that are ours, besides loopback and the address that the connection came to.
 */
export function refuseForeignHost(
  [header, ...others]: readonly string[],
  socket: Socket,
  names: ReadonlySet<string>,
): Answer | undefined {
  if (others.length > 0) return refusal(400, 'DENIED', 'a request has one Host header');
  const host = hostOf(header);
  const local = socket.localAddress?.replace(/^::ffff:(?=\d)/, '');
  if (host !== undefined && (isLoopbackName(host) || host === local || names.has(host))) return undefined;
  const message = `this server does not answer as "${show(header ?? '')}": start it with --host ${show(host ?? 'NAME')} if that is its name`;
  return refusal(421, 'DENIED', message);
}

/** Users and the bcrypt hashes of their passwords. */
export type Users = ReadonlyMap<string, string>;

/** More rounds would take seconds for each password. */
const maxCost = 14;
const bcryptForm = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

/**
 * Parses a file as `htpasswd -B` writes it.
 *
 * @throws CONFIG_INVALID also for other hashes than bcrypt.
 */
export function parseUsers(text: string, path: string): Users {
  const users = new Map<string, string>();
  const refuse = (line: number, problem: string): ImageError =>
    new ImageError('CONFIG_INVALID', `${show(path, 1024)}, line ${line}: ${problem}`, { path });
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const [user, hash] = [line.slice(0, Math.max(colon, 0)), line.slice(colon + 1)];
    const cost = Number(bcryptForm.exec(hash)?.[1] ?? NaN);
    if (user === '') throw refuse(index + 1, 'want USER:HASH');
    if (!(cost >= 4)) throw refuse(index + 1, 'the password is not hashed by bcrypt: make it with htpasswd -B');
    if (cost > maxCost) throw refuse(index + 1, `a cost of ${cost}, at most ${maxCost} is taken`);
    users.set(user, hash);
  }
  if (users.size === 0) throw new ImageError('CONFIG_INVALID', `${show(path, 1024)} has no users`, { path });
  return users;
}

/** Compares a password with a hash, in a thread: that is slow on purpose. */
export type ComparePassword = (password: string, hash: string) => Promise<boolean>;

export type Authenticate = (header: string | undefined, address: string) => Promise<Answer | undefined>;

/** How long an answer about a password counts. */
const rememberedMs = 5 * 60_000;
const maxRemembered = 1_000;
/** The most passwords that wait to be compared, in all and of one address. */
const maxWaiting = 32;
const maxWaitingOfOne = 4;

/** @returns what refuses a request without the right user and password; undefined if it has them. */
export function createAuthenticate(users: Users, compare: ComparePassword, nowMs: () => number): Authenticate {
  const key = randomBytes(32);
  const [some = '$2b$10'] = users.values();
  /** The hash of no password: an unknown user takes as long as a known one. */
  const nobody = `${some.slice(0, '$2b$10'.length)}$${'.'.repeat(53)}`;
  const known = new Map<string, { readonly isRight: Promise<boolean>; readonly untilMs: number }>();
  const waiting = new Map<string, number>();
  let total = 0;

  const denied = refusal(401, 'UNAUTHORIZED', 'a user and a password are needed', {
    'www-authenticate': 'Basic realm="longshore", charset="UTF-8"',
  });
  const busy = refusal(429, 'TOOMANYREQUESTS', 'too many passwords are being checked: try again', {
    'retry-after': '1',
  });

  const compareCounted = async (password: string, hash: string, address: string): Promise<boolean> => {
    total += 1;
    waiting.set(address, (waiting.get(address) ?? 0) + 1);
    try {
      return await compare(password, hash);
    } finally {
      total -= 1;
      const left = (waiting.get(address) ?? 1) - 1;
      if (left > 0) waiting.set(address, left);
      else waiting.delete(address);
    }
  };

  return async (header, address) => {
    const [user, password] = parseBasic(header) ?? [];
    if (user === undefined || password === undefined) return denied;
    const hash = users.get(user) ?? nobody;
    const id = createHmac('sha256', key).update(`${hash}\0${user}\0${password}`).digest('base64');
    const now = nowMs();
    let answer = known.get(id);
    if (!answer || answer.untilMs <= now) {
      if (total >= maxWaiting || (waiting.get(address) ?? 0) >= maxWaitingOfOne) return busy;
      const isRight = compareCounted(password, hash, address).then((matches) => matches && users.has(user));
      answer = { isRight, untilMs: now + rememberedMs };
      isRight.catch(() => known.delete(id));
    }
    setNewest(known, id, answer, maxRemembered);
    return (await answer.isRight) ? undefined : denied;
  };
}

/** @see RFC 7617 */
function parseBasic(header: string | undefined): readonly [string, string] | undefined {
  const [, encoded] = /^basic ([A-Za-z0-9+/]{1,1024}={0,2})$/i.exec(header ?? '') ?? [];
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : [text.slice(0, colon), text.slice(colon + 1)];
}
