import { type BatchImage, batchImageOf, type BatchLock } from '../../../fleet/batch.ts';
import {
  type AppInput,
  asImageError,
  createFileChecks,
  type ImageError,
  type Names,
  parseReference,
  showReference,
} from '../../../internal.ts';
import { showPlace } from '../../../lists/list.ts';
import type { Io } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { directoriesOf, isOn, namesOf, textOf } from '../../options/read.ts';
import { registrySettings } from '../../registries/registry-settings.ts';
import { readLockFile } from '../fetch/lock-file.ts';
import { openFinder } from '../fetch/network.ts';
import type { FetchOptions } from '../fetch/options.ts';
import { withCredentials } from '../fetch/prepare.ts';
import { readRequests, type Requests } from '../fetch/requests.ts';
import { chooseTags, listCredentials, type Lists } from '../lists.ts';

type Misunderstood = Requests['errors'][number];

/** What a batch is to have of the command line, or all that is wrong with it. */
export type Asked =
  | { readonly images: readonly BatchImage[]; readonly warnings: readonly string[] }
  | { readonly errors: readonly Misunderstood[] };

/**
 * Reads the images of operands and lists as fetch does, and asks registries for selections of tags. What only this machine has is
 * refused, so that workers do not look for it at theirs.
 *
 * @throws as readRequests and chooseTags
 */
export async function readAsked(io: Io, line: CommandLine, options: FetchOptions): Promise<Asked> {
  const lists = line.values('from-file').map(({ text }) => text);
  if (line.operands.length + lists.length === 0) throw usageError('name at least one image, or a list with -f');
  const names = namesOf(line);
  const { errors, ...requests } = await readRequests({ asked: line.operands, lists, names, io });
  const known = toBatch(requests.apps, names);
  if (errors.length + known.errors.length > 0) return { errors: [...errors, ...known.errors] };
  const warnings = listWarnings(requests.lists);
  const apps = await withTags(io, line, { options, requests, onWarning: (message) => warnings.push(message) });
  const all = toBatch(apps, names);
  return all.errors.length > 0 ? all : { images: all.images, warnings };
}

function toBatch(apps: readonly AppInput[], names: Names) {
  const images: BatchImage[] = [];
  const errors: Misunderstood[] = [];
  const workingDirectory = process.cwd();
  const isFileIn = createFileChecks();
  for (const { image, type = 'guess', signature, directory = workingDirectory, platform, keep } of apps) {
    try {
      if (signature !== undefined) throw ownSignature();
      const reference = parseReference(image, { type, directory, isFile: isFileIn(directory), names });
      images.push(batchImageOf(reference, { ...(platform && { platform }), ...(keep && { keep }) }));
    } catch (error) {
      errors.push({ asked: showReference(image), error: asImageError(error) });
    }
  }
  return { images, errors };
}

function ownSignature(): ImageError {
  return usageError(
    'a batch carries no signatures of images: workers find them beside the images, or where they are configured to',
    '--signature',
  );
}

/** What lists say that does not go with the batch, each once. */
function listWarnings({ notes, registries }: Lists): string[] {
  const unsent = registries.flatMap(({ host, insecure, credentials, place }) => [
    ...(credentials
      ? [`${showPlace(place)}: the credentials for ${host} are not sent: workers use those of their own configuration`]
      : []),
    ...(insecure === undefined
      ? []
      : [`${showPlace(place)}: ${insecure} of ${host} is checked unless workers lift that themselves`]),
  ]);
  return [...new Set([...notes.map(({ place, text }) => `${showPlace(place)}: ${text}`), ...unsent])];
}

type Choosing = {
  readonly options: FetchOptions;
  readonly requests: Omit<Requests, 'errors'>;
  readonly onWarning: (message: string) => void;
};

/** The requests with the tags that selections stand for: what is submitted is fixed. */
async function withTags(
  io: Io,
  line: CommandLine,
  { options, requests, onWarning }: Choosing,
): Promise<readonly AppInput[]> {
  if (requests.tags.length === 0) return requests.apps;
  const { environment, signal } = io;
  const directories = directoriesOf(line, environment);
  const config = withCredentials(await readConfig(directories), listCredentials(requests.lists));
  const registries = await registrySettings(options.mirrors, environment, onWarning);
  const dir = textOf(line, 'dir');
  // nothing is verified here
  const unchecked = { ...options, insecure: { image: true } };
  const settings = { options: unchecked, config, directories, environment, dir, ca: undefined, registries };
  await using resources = new AsyncDisposableStack();
  const { finder } = await openFinder(resources, { ...settings, access: 'read', apps: [] }, (event) => {
    if (event.type === 'warning') onWarning(event.message);
  });
  return chooseTags(requests, finder, signal);
}

/** What `--lock` and `--frozen` ask for. Files are of one machine, and no image of a batch. @throws USAGE, CONFIG_INVALID */
export async function readBatchLock(line: CommandLine): Promise<BatchLock | undefined> {
  const path = textOf(line, 'lock');
  const frozen = isOn(line, 'frozen');
  if (path === undefined) {
    if (frozen) throw usageError('it needs --lock FILE', '--frozen');
    return undefined;
  }
  const found = await readLockFile(path, true);
  const images = [...(found?.images ?? [])].filter(([name]) => !/^(?:\/|\.\.?\/)/.test(name));
  return { frozen, images: Object.fromEntries(images) };
}
