import { BlockList, isIP } from 'node:net';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** Refuses connections to denied addresses, after DNS and before the connection. */
export type DenyNet = {
  /** @throws ImageError INSECURE_REFUSED for a denied address; a name is accepted. */
  readonly check: (host: string) => void;
  /** The addresses of `host` that are not denied. @throws ImageError INSECURE_REFUSED if there are none */
  readonly allowed: (addresses: readonly string[], host: string) => readonly string[];
};

/** @throws ImageError USAGE for text that is not a CIDR block. */
export function parseDenyNet(blocks: readonly string[]): DenyNet | undefined {
  if (blocks.length === 0) return undefined;
  const list = new BlockList();
  for (const block of blocks) {
    if (!addBlock(list, block)) {
      throw new ImageError('USAGE', `not an address or a CIDR block: ${show(block)}`, { option: 'denyNet' });
    }
  }
  const isDenied = (host: string) =>
    isIP(host) !== 0 && reachableAddresses(host).some((address) => isListed(list, address));
  return {
    check(host) {
      if (isDenied(host)) throw denied(host);
    },
    allowed(addresses, host) {
      const found = addresses.filter((address) => !isDenied(address));
      if (found.length === 0) throw denied(host);
      return found;
    },
  };
}

/** The addresses that a connection may reach: the given one, and the IPv4 addresses that gateways and tunnels extract from IPv6. */
function reachableAddresses(address: string): readonly string[] {
  const bytes = addressBytes(address);
  const inside = bytes.length === 4 ? [bytes] : embeddedIpv4(bytes);
  const addresses = [address.replace(/%.*$/s, ''), ...inside.map((four) => four.join('.'))];
  // a connection to the unspecified address reaches this machine
  return addresses.flatMap((reachable) => {
    if (reachable === '0.0.0.0') return [reachable, '127.0.0.1'];
    return isZero(reachable) ? [reachable, '::1', '127.0.0.1'] : [reachable];
  });
}

/** The IPv4 addresses that are embedded in the sixteen bytes of an IPv6 address. */
function embeddedIpv4(bytes: readonly number[]): readonly (readonly number[])[] {
  const startsWith = (...prefix: readonly number[]) => prefix.every((byte, index) => bytes[index] === byte);
  const zeros = (count: number) => Array<number>(count).fill(0);
  const last = bytes.slice(12);
  const isMapped = startsWith(...zeros(10), 0xff, 0xff); // RFC 4291
  const isCompatible = startsWith(...zeros(12)); // RFC 4291; this includes :: and ::1, which is harmless
  const isTranslated = startsWith(...zeros(8), 0xff, 0xff, 0, 0); // RFC 2765
  const isNat64 = startsWith(0, 0x64, 0xff, 0x9b, ...zeros(8)) || startsWith(0, 0x64, 0xff, 0x9b, 0, 1); // RFC 6052, 8215
  const isIsatap = bytes[10] === 0x5e && bytes[11] === 0xfe && bytes[9] === 0; // RFC 5214
  if (isMapped || isCompatible || isTranslated || isNat64 || isIsatap) return [last];
  if (startsWith(0x20, 0x02)) return [bytes.slice(2, 6)]; // 6to4, RFC 3056
  if (startsWith(0x20, 0x01, 0, 0)) return [bytes.slice(4, 8), last.map((byte) => byte ^ 0xff)]; // Teredo, RFC 4380
  return [];
}

function isZero(address: string): boolean {
  return isIP(address) === 6 && addressBytes(address).every((byte) => byte === 0);
}

function denied(host: string): ImageError {
  return new ImageError('INSECURE_REFUSED', `connections to ${show(host)} are denied`, {
    what: 'denyNet',
  });
}

/** Adds an address or a CIDR block. @returns false if the text is neither. */
export function addBlock(list: BlockList, text: string): boolean {
  const [, address = '', digits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  const maxBits = family === 4 ? 32 : 128;
  const bits = digits === undefined ? maxBits : Number(digits);
  if (family === 0 || bits > maxBits) return false;
  list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6');
  return true;
}

/** True for an address inside one of the blocks; an IPv4 address written as IPv6 counts as IPv4. */
export function isListed(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** The four or sixteen bytes of an address in any notation; a zone is ignored. */
export function addressBytes(address: string): readonly number[] {
  if (isIP(address) === 4) return address.split('.').map(Number);
  const { hostname } = new URL(`http://[${address.replace(/%.*$/s, '')}]`); // URL writes all groups in hexadecimal
  const [head = [], tail] = hostname
    .slice(1, -1)
    .split('::')
    .map((half) => half.split(':').filter(Boolean));
  const zeros = tail ? Array<string>(8 - head.length - tail.length).fill('0') : [];
  const groups = [...head, ...zeros, ...(tail ?? [])].map((group) => parseInt(group, 16));
  return groups.flatMap((group) => [group >> 8, group & 0xff]);
}
