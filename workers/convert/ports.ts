import { sanitizeAcName } from '../../src/image/ac-name.ts';
import { show } from '../../src/image/show.ts';
import type { RuntimeConfig } from './image-config.ts';

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
 * @param warn - gets a line for each text that is left out or changed.
 */
export function toPorts(
  { ExposedPorts, PortSpecs }: Pick<RuntimeConfig, 'ExposedPorts' | 'PortSpecs'>,
  warn: (line: string) => void,
): readonly Port[] {
  const ports = new Map<string, Port>();
  for (const key of ExposedPorts.length > 0 ? ExposedPorts : PortSpecs.map((spec) => withoutHost(spec, warn))) {
    const port = parsePort(key);
    if (port) ports.set(port.name, port);
    else warn(`the exposed port "${show(key)}" is left out: it is no port, and no range of ports`);
  }
  return [...ports.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Old images have `[[address:]port of the host:]port` in the place of ExposedPorts. */
function withoutHost(spec: string, warn: (line: string) => void): string {
  const key = spec.slice(spec.lastIndexOf(':') + 1);
  if (key !== spec) warn(`of the port "${show(spec)}" the part before "${show(key)}" is left out: it is about a host`);
  return key;
}

/** As in docker a slash with nothing behind it says nothing. */
function parsePort(key: string): Port | undefined {
  const [, from, to, protocol] = /^(\d{1,6})(?:-(\d{1,6}))?(?:\/([a-z]*))?$/i.exec(key) ?? [];
  const [port, last] = [Number(from), Number(to ?? from)];
  if (!(port >= 1 && port <= last && last <= 65_535)) return undefined;
  return {
    name: sanitizeAcName(key),
    protocol: protocol?.toLowerCase() || 'tcp',
    port,
    count: last - port + 1,
    socketActivated: false,
  };
}
