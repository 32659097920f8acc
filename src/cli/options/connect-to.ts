import { showReference } from '../../index.ts';
import { usageError } from './usage-error.ts';

const part = String.raw`(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]*)`;
const port = '[0-9]{0,5}';
const form = new RegExp(`^${part}:(${port}):${part}:(${port})$`);

/**
 * `HOST:PORT:ADDRESS:PORT`: a connection to the first pair goes to the second. An empty part stands for any host or
 * port, or for the one asked for; IPv6 addresses stand in brackets.
 *
 * @returns the text, which is known to be well-formed. @throws USAGE
 * @see curl(1) --connect-to
 */
export function parseConnectTo(text: string, option: string): string {
  const ports = form.exec(text)?.slice(1);
  if (ports === undefined || ports.some((digits) => Number(digits) > 65_535)) {
    throw usageError(`want HOST:PORT:ADDRESS:PORT, got "${showReference(text)}"`, option);
  }
  return text;
}
