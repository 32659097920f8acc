import type { ActionOptions } from '../../index.ts';
import { parseCidr } from '../options/cidr.ts';
import type { CommandLine } from '../options/command-line.ts';
import { parseConnectTo } from '../options/connect-to.ts';
import { parseCount } from '../options/count.ts';
import { parseDiscover } from '../options/discover.ts';
import { parseInsecureOptions } from '../options/insecure-options.ts';
import { parseLimits, parseTimeouts } from '../options/limits.ts';
import { namedValuesOf, valueOf, valuesOf } from '../options/read.ts';

/** What the command line says of the network. @throws USAGE */
export function networkOptions(line: CommandLine) {
  const retries = valueOf(line, 'retries', (text, option) => parseCount(text, option, 0));
  return {
    ...(retries !== undefined && { retries }),
    insecure: valueOf(line, 'insecure-options', parseInsecureOptions) ?? {},
    limits: namedValuesOf(line, 'limit', parseLimits),
    timeouts: namedValuesOf(line, 'timeout', parseTimeouts),
    discover: namedValuesOf(line, 'discover', parseDiscover),
    connectTo: valuesOf(line, 'connect-to', parseConnectTo),
    denyNet: valuesOf(line, 'deny-net', parseCidr),
  } satisfies Partial<ActionOptions>;
}
