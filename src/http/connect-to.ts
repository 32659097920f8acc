import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { ConnectTo } from './types.ts';

const part = String.raw`(\[[^\]]*\]|[^:[\]]*)`;
const form = new RegExp(`^${part}:(\\d*):${part}:(\\d*)$`);

/**
 * Reads `HOST:PORT:ADDRESS:PORT`; an IPv6 address stands in brackets, an empty part means any or unchanged.
 *
 * @throws ImageError USAGE
 * @see curl(1) --connect-to
 */
export function parseConnectTo(text: string): ConnectTo {
  const [, host, port, toHost, toPort] = form.exec(text) ?? [];
  if (host === undefined || port === undefined || toHost === undefined || toPort === undefined) {
    throw new ImageError('USAGE', `not HOST:PORT:ADDRESS:PORT: ${show(text)}`, { option: 'connect-to' });
  }
  return { host: bare(host).toLowerCase(), port, toHost: bare(toHost), toPort };
}

/** A host, without brackets, and a port. */
export type Target = { readonly host: string; readonly port: number };

/** Where to connect for a URL: what the first fitting rule says, or the URL itself. */
export function targetOf(url: URL, rules: readonly ConnectTo[]): Target {
  const host = bare(url.hostname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const rule = rules.find((one) => (one.host === '' || one.host === host) && (one.port === '' || one.port === port));
  return { host: rule?.toHost || host, port: Number(rule?.toPort || port) };
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
