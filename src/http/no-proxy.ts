import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

import { addBlock, isListed } from './net-block.ts';

type Rule = (host: string, port: string) => boolean;

/**
 * Reads NO_PROXY. Entries, separated by commas or white space: `*`; a name, for itself and all below it; `.name` or
 * `*.name`, for all below it only; an address or a CIDR block, for URLs with addresses. Names and addresses may end in `:port`. As
 * Go's programs read it, but that nothing is exempt by itself, loopback neither.
 *
 * @returns whether a URL is exempt from the proxy.
 */
export function parseNoProxy(text: string): (url: URL) => boolean {
  const entries = text.toLowerCase().split(/[\s,]+/);
  const rules = entries.filter((entry) => entry !== '').map(parseEntry);
  return (url) => {
    const host = url.hostname.replace(/^\[|\]$|\.$/g, '');
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    return rules.some((rule) => rule(host, port));
  };
}

function parseEntry(entry: string): Rule {
  if (entry === '*') return () => true;
  const blocks = new BlockList();
  if (addBlock(blocks, entry)) return (host) => isListed(blocks, host);
  const [, name = entry, port] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  const wanted = nameOf(name.replace(/^\[|\]$/g, '').replace(/^\*(?=\.)|\.$/g, ''));
  const matches = hostRule(wanted);
  return (host, at) => (port === undefined || port === at) && matches(host);
}

/** In the letters that URLs have it in. */
function nameOf(text: string): string {
  return /[^\0-\x7f]/.test(text) ? domainToASCII(text) || text : text;
}

function hostRule(wanted: string): (host: string) => boolean {
  if (isIP(wanted) !== 0) {
    const blocks = new BlockList();
    addBlock(blocks, wanted);
    return (host) => isListed(blocks, host);
  }
  if (wanted.startsWith('.')) return (host) => host.endsWith(wanted);
  return (host) => host === wanted || host.endsWith(`.${wanted}`);
}
