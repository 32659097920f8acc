import { sanitizeAcName } from '../../src/image/ac-name.ts';
import { show } from '../../src/image/show.ts';

export type Port = {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly count: number;
  readonly socketActivated: false;
};

/**
 * Ports by name, from keys such as `80`, `53/udp` and `8000-9000/tcp`; what is none of these is left out.
 *
 * @param warn - gets a line for each key that is left out.
 */
export function toPorts(keys: readonly string[], warn: (line: string) => void): readonly Port[] {
  const ports = new Map<string, Port>();
  for (const key of keys) {
    const port = parsePort(key);
    if (port) ports.set(port.name, port);
    else warn(`the exposed port "${show(key)}" is left out: it is no port, and no range of ports`);
  }
  return [...ports.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function parsePort(key: string): Port | undefined {
  const [, from, to, protocol = 'tcp'] = /^(\d{1,6})(?:-(\d{1,6}))?(?:\/([a-z]+))?$/i.exec(key) ?? [];
  const [port, last] = [Number(from), Number(to ?? from)];
  if (!(port >= 1 && port <= last && last <= 65_535)) return undefined;
  return {
    name: sanitizeAcName(key),
    protocol: protocol.toLowerCase(),
    port,
    count: last - port + 1,
    socketActivated: false,
  };
}
