import { readdirSync, statSync } from 'node:fs';
import { resolve, sep } from 'node:path';

import type { BatchRequest } from './coordinator/walk.ts';
import { asImageError, ImageError } from './errors.ts';
import type { Choices, OwnChoices } from './fetchers/context.ts';
import type { AppInput, ImageType } from './image/apps.ts';
import { formatPlatformChoice, hostPlatform, parsePlatformChoice } from './image/platform.ts';
import { type ImageReference, parseReference, referenceKey } from './image/reference.ts';
import type { FetchSettings } from './options.ts';

/**
 * Parses apps into requests of a batch. Relative paths are resolved against the app's directory, or else the working directory.
 *
 * @param settings - those of the finder; an app may have others. @throws USAGE for those of an app, as choicesOf
 */
export function parseApps(apps: readonly AppInput[], settings: ChoiceSettings = {}): readonly BatchRequest[] {
  const workingDirectory = process.cwd();
  const parse = createParser();
  const choose = createChooser(settings);
  const requests = apps.map((app, index): BatchRequest => {
    const { image: text, type = 'guess', signature: path, directory = workingDirectory } = app;
    const own = choose(app);
    try {
      const { reference, key: named } = parse(text, type, directory);
      const signature = path === undefined ? undefined : resolve(directory, path);
      const key = signature === undefined ? named : `${named} ${signature}`;
      const parsed = { index, text, signature, reference };
      const isOfRegistry = reference.kind === 'registry' || reference.kind === 'id';
      return own && isOfRegistry ? { ...parsed, key: `${key} ${own.key}`, choices: own.choices } : { ...parsed, key };
    } catch (error) {
      return { index, text, error: asImageError(error) };
    }
  });
  const isPlain = requests.every((request) => 'error' in request || !request.choices);
  return isPlain ? requests : withOneName(requests, choicesOf(settings));
}

type Parsed = { readonly reference: ImageReference; readonly key: string };

/** Returns a function that parses references, each that is asked for several times only once. */
function createParser(): (text: string, type: ImageType, directory: string) => Parsed {
  const checkIn = createFileChecks();
  const places = new Map<string, Map<string, Parsed>>();
  return (text, type, directory) => {
    const place = `${type} ${directory}`;
    const parsed = places.get(place) ?? new Map<string, Parsed>();
    places.set(place, parsed);
    const known = parsed.get(text);
    if (known) return known;
    const reference = parseReference(text, { type, directory, isFile: checkIn(directory) });
    const now = { reference, key: referenceKey(reference) };
    parsed.set(text, now);
    return now;
  };
}

/**
 * Of several requests for different platforms of one reference, one gets the name: that for the whole index, else the first.
 *
 * @param shared - the choices of the finder.
 */
function withOneName(requests: readonly BatchRequest[], shared: Choices): readonly BatchRequest[] {
  const named = new Map<string, string>();
  const platformOf = ({ platforms: [first] }: Choices): string => formatPlatformChoice(first);
  for (const request of requests) {
    if ('error' in request) continue;
    const key = referenceKey(request.reference);
    const platform = platformOf(request.choices ?? shared);
    if (platform === 'all' || !named.has(key)) named.set(key, platform);
  }
  return requests.map((request) => {
    if ('error' in request) return request;
    const choices = request.choices ?? { ...shared, isFurther: false };
    if (platformOf(choices) === named.get(referenceKey(request.reference))) return request;
    return { ...request, choices: { ...choices, isFurther: true } };
  });
}

/** The settings of a finder, or of one app, that decide what is brought of a registry image. */
type ChoiceSettings = Pick<FetchSettings, 'keep' | 'platform' | 'referrers'>;

/** @throws USAGE for settings that contradict each other */
export function choicesOf({ platform = [], keep: asked, referrers }: ChoiceSettings): Choices {
  const [first, ...others] = platform.map((text) => parsePlatformChoice(text));
  const isWhole = first === 'all' || others.includes('all');
  const keep = asked ?? (isWhole ? 'oci' : 'both');
  if (isWhole && others.length > 0) throw usage('platform: "all" stands alone');
  if (isWhole && keep !== 'oci')
    throw usage(`platform: "all" keeps images as they came, and makes no archives: not with keep ${keep}`);
  if (referrers && keep === 'aci')
    throw usage('what is attached to images is kept with them as they came: not with keep aci', 'referrers');
  return {
    keep,
    platforms: first ? [first, ...others] : [hostPlatform({ platform: process.platform, arch: process.arch })],
    isPlatformAsked: first !== undefined,
  };
}

function usage(message: string, option = 'platform'): ImageError<'USAGE'> {
  return new ImageError('USAGE', message, { option });
}

/** The choices of a request, and a text that only the same ones have. */
type Own = { readonly choices: OwnChoices; readonly key: string };

/** @returns a function that gives the choices of an app, if they are not those of the finder */
function createChooser(settings: ChoiceSettings): (app: AppInput) => Own | undefined {
  const known = new Map<string, Own | undefined>();
  const shared = JSON.stringify(choicesOf(settings));
  return ({ platform = settings.platform, keep = settings.keep }) => {
    if (platform === settings.platform && keep === settings.keep) return undefined;
    const asked = JSON.stringify([platform, keep]);
    if (known.has(asked)) return known.get(asked);
    const choices = choicesOf({ ...settings, platform, keep });
    const key = JSON.stringify(choices);
    const own = key === shared ? undefined : { choices: { ...choices, isFurther: false }, key };
    known.set(asked, own);
    return own;
  };
}

/**
 * Returns a function that checks whether an absolute path is a regular file. One listing of `directory` is enough for most names of
 * a batch: a path below it cannot exist if its first part does not.
 */
export function createFileCheck(directory: string): (path: string) => boolean {
  const below = directory.endsWith(sep) ? directory : directory + sep;
  let listing: { readonly entries: ReadonlySet<string> | undefined } | undefined;
  return (path) => {
    const { entries } = (listing ??= { entries: list(directory) });
    if (entries && path.startsWith(below) && !entries.has(firstOf(path, below.length))) return false;
    try {
      return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
    } catch {
      return entries !== undefined; // something exists, such as a symlink to itself: reading it will report the error
    }
  };
}

/** The part of a path from `from` to the next separator. */
function firstOf(path: string, from: number): string {
  const end = path.indexOf(sep, from);
  return end < 0 ? path.slice(from) : path.slice(from, end);
}

/** @returns undefined if the directory cannot be listed: then each path is checked */
function list(directory: string): ReadonlySet<string> | undefined {
  try {
    return new Set(readdirSync(directory));
  } catch {
    return undefined;
  }
}

/** Keeps one check for each directory, since the lists of a batch may be in several. */
export function createFileChecks(): (directory: string) => (path: string) => boolean {
  const checks = new Map<string, (path: string) => boolean>();
  return (directory) => {
    const known = checks.get(directory) ?? createFileCheck(directory);
    checks.set(directory, known);
    return known;
  };
}
