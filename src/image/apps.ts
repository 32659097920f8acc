import { isAbsolute } from 'node:path';

import { ImageError } from '../errors.ts';
import { acNameProblem } from './ac-identifier.ts';
import type { Digest } from './digest.ts';
import type { ImageId } from './image-id.ts';
import { show } from './show.ts';

/** How the text of a request is read: as an image ID (`hash`), a URL, a path, a name or a registry reference (`docker`). */
export type ImageType = 'guess' | 'hash' | 'url' | 'path' | 'name' | 'docker';

/** How a registry image is stored: converted to an archive, as it is, or both. */
export type Keep = 'aci' | 'oci' | 'both';

/** One entry of an Apps list, as rkt's App: the image to fetch, and settings that a fetch passes through unchanged. */
export type AppInput = {
  /** As the user typed it. */
  readonly image: string;
  /** How `image` is read. Default `guess`. */
  readonly type?: ImageType | undefined;
  /** Path of a detached signature, instead of the one next to the image. */
  readonly signature?: string | undefined;
  /** Of a registry image: the platforms to fetch it for, in place of those of the finder. */
  readonly platform?: readonly string[] | undefined;
  /** Of a registry image: what is kept of it, in place of what the finder keeps. */
  readonly keep?: Keep | undefined;
  /** The base of relative paths in this entry; default the working directory. */
  readonly directory?: string | undefined;
  /** Arguments of the app. A fetch does not use them, nor any of the members below. */
  readonly args?: readonly string[] | undefined;
  /** The program to run instead of that of the image. */
  readonly exec?: string | undefined;
  /** Where volumes are mounted. */
  readonly mounts?: readonly Mount[] | undefined;
  /** The most memory, as a quantity of appc: `512Mi`. */
  readonly memoryLimit?: string | undefined;
  /** The most processor time, as a quantity of appc: `500m`. */
  readonly cpuLimit?: string | undefined;
};

/** Whether a request is for an image of a registry. */
export function isOfRegistry({ image, type }: Pick<AppInput, 'image' | 'type'>): boolean {
  return type === 'docker' || /^docker:/i.test(image);
}

/** An entry of an Apps list, with the image that was found for it. */
export type App = AppInput & {
  /** Set by findImages when the image is in the store. A digest when a registry image is kept without conversion. */
  imageID?: ImageId | Digest | undefined;
};

/** An ordered list of apps, with mounts and volumes that all of them share. */
export type Apps = Iterable<App> & {
  /** The number of apps. */
  readonly length: number;
  /** Mounts of all apps. */
  readonly mounts: readonly Mount[];
  /** Volumes that mounts name. */
  readonly volumes: readonly Volume[];
  /** Appends an app, given as an image reference or as an entry. */
  create(input: string | AppInput): App;
  /** Visits one app after the other. The first error stops the walk and is thrown. */
  walk(visit: (app: App, index: number) => void | Promise<void>): Promise<void>;
  /** Checks mounts and volumes, which a fetch does not use. @throws USAGE for a wrong or repeated volume, and for a mount of an unknown one. */
  validate(): void;
};

/** What all apps of a list share. */
export type SharedByApps = {
  /** Mounts of all apps. Default: none. */
  readonly mounts?: readonly Mount[] | undefined;
  /** Volumes that mounts name. Default: none. */
  readonly volumes?: readonly Volume[] | undefined;
};

/** Makes an Apps list of image references or entries. */
export function createApps(
  inputs: readonly (string | AppInput)[],
  { mounts = [], volumes = [] }: SharedByApps = {},
): Apps {
  const apps: App[] = [];
  const list: Apps = {
    get length() {
      return apps.length;
    },
    mounts,
    volumes,
    [Symbol.iterator]: () => apps[Symbol.iterator](),
    create(input) {
      const app: App = typeof input === 'string' ? { image: input } : { ...input };
      apps.push(app);
      return app;
    },
    async walk(visit) {
      for (const [index, app] of apps.entries()) await visit(app, index);
    },
    validate() {
      const names = new Set<string>();
      for (const volume of volumes) {
        checkVolume(volume);
        if (names.has(volume.name)) throw usage('volumes', `the volume ${volume.name} is there twice`);
        names.add(volume.name);
      }
      checkMounts(mounts, names, '');
      for (const { image, mounts = [] } of apps) checkMounts(mounts, names, ` of ${show(image)}`);
    },
  };
  for (const input of inputs) list.create(input);
  return list;
}

function checkMounts(mounts: readonly Mount[], volumes: ReadonlySet<string>, whose: string): void {
  for (const { volume, path } of mounts) {
    if (volumes.has(volume)) continue;
    throw usage(
      'mounts',
      `the mount${whose} at ${show(path)} names the volume "${show(volume)}", which does not exist`,
    );
  }
}

function usage(option: string, problem: string): ImageError<'USAGE'> {
  return new ImageError('USAGE', problem, { option });
}

/** A place of a volume in an app. A fetch passes it through. */
export type Mount = {
  /** The name of the volume. */
  readonly volume: string;
  /** The path inside the app. */
  readonly path: string;
};

/** A volume that apps may mount. A fetch passes it through. */
export type Volume = {
  /** The name that mounts give. */
  readonly name: string;
  /** `host`: the directory `source` of this machine. `empty`: a new directory. */
  readonly kind: 'host' | 'empty';
  /** Absolute path, for `host`. */
  readonly source?: string | undefined;
  /** Default false. */
  readonly readOnly?: boolean | undefined;
};

/** @throws USAGE unless name and source are valid. */
function checkVolume({ name, kind, source }: Volume): void {
  const problem = acNameProblem(name);
  if (problem !== undefined) throw usage('volumes', `the volume name "${show(name)}" ${problem}`);
  if (kind === 'empty' && source) throw usage('volumes', `the empty volume ${name} may not have a source`);
  if (kind === 'host' && !isAbsolute(source ?? ''))
    throw usage('volumes', `the source of volume ${name} must be an absolute path`);
}

/**
 * The default path of the detached signature of an archive: `.aci.asc` replaces a trailing `.aci`, otherwise it is
 * appended.
 */
export function signaturePath(path: string): string {
  return `${path.replace(/\.aci$/, '')}.aci.asc`;
}

/** As signaturePath, for the path of a URL. Query and fragment are kept. */
export function signatureUrl(url: string): string {
  const [path = '', rest = ''] = /^([^?#]*)(.*)$/s.exec(url)?.slice(1) ?? [];
  return `${signaturePath(path)}${rest}`;
}
