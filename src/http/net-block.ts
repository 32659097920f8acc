import { isIP, type BlockList } from 'node:net';

/** Adds an address or a CIDR block; false if the text is neither. */
export function addBlock(list: BlockList, text: string): boolean {
  const [, address = '', digits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  const all = family === 4 ? 32 : 128;
  const bits = digits === undefined ? all : Number(digits);
  if (family === 0 || bits > all) return false;
  list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6');
  return true;
}

/** True for an address inside one of the blocks; an IPv4 address written as IPv6 counts as IPv4. */
export function isListed(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** The four or sixteen bytes of an address, whichever way it is written; its zone does not count. */
export function addressBytes(address: string): readonly number[] {
  if (isIP(address) === 4) return address.split('.').map(Number);
  const { hostname } = new URL(`http://[${address.replace(/%.*$/s, '')}]`); // hexadecimal throughout
  const [head = [], tail] = hostname
    .slice(1, -1)
    .split('::')
    .map((half) => half.split(':').filter(Boolean));
  const zeros = tail ? Array<string>(8 - head.length - tail.length).fill('0') : [];
  const groups = [...head, ...zeros, ...(tail ?? [])].map((group) => parseInt(group, 16));
  return groups.flatMap((group) => [group >> 8, group & 0xff]);
}
