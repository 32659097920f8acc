import { isIP } from 'node:net';

import { showReference } from '../../index.ts';
import { usageError } from './usage-error.ts';

/** A CIDR block, IPv4 or IPv6; a bare address is a block of one. @returns `ADDRESS/LENGTH`. @throws USAGE */
export function parseCidr(text: string, option: string): string {
  const [, address = '', length] = /^([^/%]+)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const prefix = length === undefined ? bits : Number(length);
  if (bits < 0 || prefix > bits) {
    throw usageError(`want an address block such as 10.0.0.0/8 or fd00::/8, got "${showReference(text)}"`, option);
  }
  return `${address}/${prefix}`;
}
