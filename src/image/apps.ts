import { isAbsolute } from 'node:path';

import { ImageError } from '../errors.ts';
import type { Digest } from './digest.ts';
import type { ImageId } from './image-id.ts';
import { show } from './show.ts';
import { acNameProblem } from './ac-identifier.ts';

export type ImageType = 'guess' | 'hash' | 'url' | 'path' | 'name' | 'docker';

/** One entry of an Apps list, as rkt's App: what to fetch, and what fetching carries along untouched. */
export type AppInput = {
  /** As the user typed it. */
  readonly image: string;
  readonly type?: ImageType;
  /** Path of a detached signature that overrides the one beside the image. */
  readonly signature?: string;
  /** What relative paths of this entry are relative to; default the working directory. */
  readonly directory?: string;
  readonly args?: readonly string[];
  readonly exec?: string;
  readonly mounts?: readonly Mount[];
  readonly memoryLimit?: string;
  readonly cpuLimit?: string;
};

export type App = AppInput & {
  /** Filled in by findImages when the image is there; a digest where a registry's image is kept as it came alone. */
  imageID?: ImageId | Digest;
};

/** An ordered list of apps, with the mounts and volumes that concern all of them. */
export type Apps = Iterable<App> & {
  readonly length: number;
  readonly mounts: readonly Mount[];
  readonly volumes: readonly Volume[];
  /** Appends an app for an image as typed, or for more about it. */
  create(input: string | AppInput): App;
  /** One app after the other; the first error ends it and is the caller's. */
  walk(visit: (app: App, index: number) => void | Promise<void>): Promise<void>;
  /** @throws USAGE for a volume that is there twice or malformed, and for a mount of an unknown one. */
  validate(): void;
};

export function createApps(
  inputs: readonly (string | AppInput)[],
  { mounts = [], volumes = [] }: { readonly mounts?: readonly Mount[]; readonly volumes?: readonly Volume[] } = {},
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
        if (names.has(volume.name)) throw usage('--volume', `the volume ${volume.name} is there twice`);
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
    throw usage('--mount', `the mount${whose} at ${show(path)} names the volume "${show(volume)}", which there is not`);
  }
}

function usage(option: string, problem: string): ImageError<'USAGE'> {
  return new ImageError('USAGE', problem, { option });
}

type Mount = { readonly volume: string; readonly path: string };
type Volume = {
  readonly name: string;
  readonly kind: 'host' | 'empty';
  readonly source?: string;
  readonly readOnly?: boolean;
};

/** @throws USAGE unless name and source fit. */
function checkVolume({ name, kind, source }: Volume): void {
  const problem = acNameProblem(name);
  if (problem !== undefined) throw usage('--volume', `the volume name "${show(name)}" ${problem}`);
  if (kind === 'empty' && source) throw usage('--volume', `the empty volume ${name} may not have a source`);
  if (kind === 'host' && !isAbsolute(source ?? ''))
    throw usage('--volume', `the source of volume ${name} must be an absolute path`);
}

/** Where the detached signature of an archive lies: `.aci.asc` for a trailing `.aci`, appended otherwise. */
export function signaturePath(path: string): string {
  return `${path.replace(/\.aci$/, '')}.aci.asc`;
}

/** As signaturePath, for the path of a URL; query and fragment stay. */
export function signatureUrl(url: string): string {
  const [path = '', rest = ''] = /^([^?#]*)(.*)$/s.exec(url)?.slice(1) ?? [];
  return `${signaturePath(path)}${rest}`;
}
