import { isHttpUrl } from '../../src/image/http-url.ts';
import { sortLabels } from '../../src/image/labels.ts';
import { toAppcPlatform, type AppcPlatform } from '../../src/image/platform.ts';
import { registryImageName, registryIndexName } from '../../src/image/registry-image-name.ts';
import { isRfc3339 } from '../../src/image/rfc3339.ts';
import type { ConvertOrigin } from './requests.ts';
import { toEnvironment } from './environment.ts';
import type { ImageConfig, RuntimeConfig } from './image-config.ts';
import { toMountPoints } from './mount-points.ts';
import { toPorts } from './ports.ts';
import { toUser } from './user.ts';

/** Go's zero time, which stands for none. */
const noTime = '0001-01-01T00:00:00Z';

/**
 * The manifest of a converted image, as JSON. The same config and origin always give the same text.
 *
 * @param readPasswd - the image's own /etc/passwd, empty when there is none.
 * @param warn - gets a line for each thing that an image manifest cannot say.
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

/** A config without an os says nothing of the platform. */
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
