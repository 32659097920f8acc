import { lookup as resolve, type LookupAddress } from 'node:dns';
import { BlockList, type LookupFunction } from 'node:net';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { addBlock, isListed } from './net-block.ts';

/** Guards the addresses that connections go to; the check comes after DNS and before the connection. */
export type DenyNet = {
  /** @throws ImageError INSECURE_REFUSED for an address that is denied; names pass. */
  readonly check: (host: string) => void;
  /** For net.connect: the addresses of a name, without those denied. */
  readonly lookup: LookupFunction;
};

/** @throws ImageError USAGE for what is not a CIDR block. */
export function parseDenyNet(blocks: readonly string[]): DenyNet | undefined {
  if (blocks.length === 0) return undefined;
  const list = new BlockList();
  for (const block of blocks) {
    if (!addBlock(list, block)) {
      throw new ImageError('USAGE', `not an address or a CIDR block: ${show(block)}`, { option: 'deny-net' });
    }
  }
  const isDenied = (address: string) => isListed(list, meant[address] ?? address);
  return {
    check(host) {
      if (isDenied(host)) throw denied(host);
    },
    lookup(hostname, options, callback) {
      resolve(hostname, { ...options, all: true }, (error, found) => {
        if (error) return callback(error, []);
        const allowed = found.filter(({ address }) => !isDenied(address));
        const [first] = allowed;
        if (first === undefined) return callback(denied(hostname), []);
        if (options.all) callback(null, allowed satisfies LookupAddress[]);
        else callback(null, first.address, first.family);
      });
    },
  };
}

/** A connection to the unspecified address reaches this machine. */
const meant: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

function denied(host: string): ImageError {
  return new ImageError('INSECURE_REFUSED', `connections to ${show(host)} are denied by --deny-net`, {
    what: 'deny-net',
  });
}
