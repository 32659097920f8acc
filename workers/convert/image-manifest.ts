import { posix } from 'node:path';

import { sanitizeAcName } from '../../src/image/ac-identifier.ts';
import { sortLabels } from '../../src/image/labels.ts';
import { isHttpUrl, isRfc3339 } from '../../src/image/manifest-schema.ts';
import { type AppcPlatform, toAppcPlatform } from '../../src/image/platform.ts';
import { registryImageName, registryIndexName } from '../../src/image/registry-reference.ts';
import { show } from '../../src/image/show.ts';
import type { ImageConfig, RuntimeConfig } from './image-config.ts';
import type { ConvertOrigin } from './requests.ts';

/** Go's zero time, which means none. */
const noTime = '0001-01-01T00:00:00Z';

/**
 * Makes the manifest of a converted image, as JSON. The same config and origin always give the same text.
 *
 * @param readPasswd - returns the image's own /etc/passwd, empty when there is none.
 * @param warn - gets a line for each property that an image manifest cannot express.
 * @throws PLATFORM_MISSING, NAME_INVALID
 */
export function formatManifest(
  config: ImageConfig,
  origin: ConvertOrigin,
  readPasswd: () => string,
  warn: (line: string) => void,
): string {
  return JSON.stringify({
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: registryImageName(origin),
    labels: sortLabels(toLabels(config, origin)).map(toPair),
    ...(config.config && { app: toApp(config.config, readPasswd, warn) }),
    annotations: sortLabels(toAnnotations(config, origin)).map(toPair),
  });
}

/** @throws PLATFORM_MISSING */
export function checkPlatform(config: ImageConfig): void {
  toPlatform(config);
}

/** The platform as appc names it; empty for a config without os. */
function toPlatform({ os, architecture, variant }: ImageConfig): Partial<AppcPlatform> {
  return os === '' ? {} : toAppcPlatform({ os, architecture, variant });
}

function toLabels(config: ImageConfig, { tag }: ConvertOrigin): Map<string, string> {
  return new Map(Object.entries({ ...(tag !== undefined && { version: tag }), ...toPlatform(config) }));
}

function toAnnotations({ created, author, config }: ImageConfig, origin: ConvertOrigin): Map<string, string> {
  const { Entrypoint = [], Cmd = [], Labels = {} } = config ?? {};
  const authors = author || Labels['org.opencontainers.image.authors'];
  const homepage = Labels['org.opencontainers.image.url'] ?? '';
  const documentation = Labels['org.opencontainers.image.documentation'] ?? '';
  return new Map(
    Object.entries({
      ...(authors && { authors }),
      ...(isRfc3339(created) && created !== noTime && { created }),
      ...(isHttpUrl(homepage) && { homepage }),
      ...(isHttpUrl(documentation) && { documentation }),
      'appc.io/docker/registryurl': registryIndexName(origin.host),
      'appc.io/docker/repository': origin.repository,
      'appc.io/docker/imageid': origin.configDigest,
      'appc.io/docker/manifesthash': origin.manifestDigest,
      ...(origin.indexDigest !== undefined && { 'appc.io/docker/indexhash': origin.indexDigest }),
      ...(origin.tag !== undefined && { 'appc.io/docker/tag': origin.tag }),
      ...(origin.text !== undefined && { 'appc.io/docker/originalname': origin.text }),
      ...(Entrypoint.length > 0 && { 'appc.io/docker/entrypoint': JSON.stringify(Entrypoint) }),
      ...(Cmd.length > 0 && { 'appc.io/docker/cmd': JSON.stringify(Cmd) }),
    }),
  );
}

function toApp(config: RuntimeConfig, readPasswd: () => string, warn: (line: string) => void) {
  const exec = [...config.Entrypoint, ...config.Cmd];
  const workingDirectory = toWorkingDirectory(config.WorkingDir, warn);
  const environment = toEnvironment(config.Env, warn);
  const mountPoints = toMountPoints(config.Volumes, warn);
  const ports = toPorts(config, warn);
  const userLabels = Object.entries(config.Labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    exec: exec.length > 0 ? exec : null,
    ...toUser(config.User, readPasswd),
    ...(workingDirectory !== '' && { workingDirectory }),
    ...(environment.length > 0 && { environment }),
    ...(mountPoints.length > 0 && { mountPoints }),
    ...(ports.length > 0 && { ports }),
    ...(userLabels.length > 0 && { userLabels: Object.fromEntries(userLabels) }),
  };
}

function toWorkingDirectory(path: string, warn: (line: string) => void): string {
  if (path === '' || path.startsWith('/')) return path;
  warn('the working directory is relative: it is taken from the root');
  return `/${path}`;
}

function toPair([name, value]: readonly [string, string]) {
  return { name, value };
}

type Variable = { readonly name: string; readonly value: string };

/**
 * Converts `NAME=VALUE` texts to variables. When a name is repeated, the last value counts, at the place of the first.
 *
 * @param warn - gets a line for each text that is left out.
 * @see appc 0.8.11, schema/types/environment.go
 */
function toEnvironment(texts: readonly string[], warn: (line: string) => void): readonly Variable[] {
  const values = new Map<string, string>();
  for (const text of texts) {
    const [, name, value = ''] = /^([A-Za-z_][A-Za-z_0-9.-]*)=([^]*)$/.exec(text) ?? [];
    if (name === undefined)
      warn(`the environment variable "${show(text, 80)}" is left out: its name is none in an image`);
    else values.set(name, value);
  }
  return Array.from(values, ([name, value]) => ({ name, value }));
}

type MountPoint = { readonly name: string; readonly path: string };

/**
 * Makes a mount point for each volume, sorted by name. Volumes whose names would be equal are numbered in the order of
 * their paths. A relative path is taken from the root, as docker does.
 *
 * @param warn - gets a line for each volume that is left out or changed.
 */
function toMountPoints(volumes: readonly string[], warn: (line: string) => void): readonly MountPoint[] {
  const points = new Map<string, MountPoint>();
  const numbers = new Map<string, number>();
  const paths = volumes.flatMap((path) => {
    if (path === '') warn('a volume without a path is left out');
    else if (!path.startsWith('/'))
      warn(`the path of the volume "${show(path)}" is relative: it is taken from the root`);
    return path === '' ? [] : [path.startsWith('/') ? path : `/${path}`];
  });
  for (const path of [...new Set(paths)].sort()) {
    const plain = sanitizeAcName(`volume${posix.normalize(`/${path}`)}`);
    let name = plain;
    for (let number = numbers.get(plain) ?? 1; points.has(name); number++) {
      name = `${plain}-${number}`;
      numbers.set(plain, number + 1);
    }
    points.set(name, { name, path });
  }
  return [...points.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

type Port = {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly count: number;
  readonly socketActivated: false;
};

/**
 * Makes ports, sorted by name, from keys such as `80`, `53/udp` and `8000-9000/tcp`; other keys are left out.
 *
 * @param warn - gets a line for each key that is left out or changed.
 */
function toPorts(
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

/** Old images have entries `[[address:]port of the host:]port` instead of ExposedPorts. */
function withoutHost(spec: string, warn: (line: string) => void): string {
  const key = spec.slice(spec.lastIndexOf(':') + 1);
  if (key !== spec) warn(`of the port "${show(spec)}" the part before "${show(key)}" is left out: it is about a host`);
  return key;
}

/** A slash without a protocol after it is ignored, as in docker. */
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

type User = { readonly user: string; readonly group: string };

/**
 * Parses user and group, such as `redis`, `1000` and `user:group`. Without a group, a numeric user is the group as
 * well, and the group of a name is looked up.
 *
 * @param readPasswd - returns the image's own /etc/passwd, empty when there is none.
 */
function toUser(text: string, readPasswd: () => string): User {
  const [user = '', group = ''] = text.split(':');
  if (user === '' || group !== '') return { user: user || '0', group: group || '0' };
  return { user, group: /^\d+$/.test(user) ? user : findGroup(user, readPasswd()) };
}

function findGroup(user: string, passwd: string): string {
  for (const line of passwd.split('\n')) {
    const [name, , , group = ''] = line.split(':');
    if (name === user && /^\d+$/.test(group)) return group;
  }
  return '0';
}
