import {
  type AppInput,
  asImageError,
  type Finder,
  fromErrorData,
  type ImageError,
  type Insecure,
  showReference,
  toErrorData,
} from '../../internal.ts';
import { type Entry, listInvalid, type RegistryWish, showPlace, type TagsEntry } from '../../lists/list.ts';
import { readList } from '../../lists/read-list.ts';
import type { Io } from '../command.ts';

/** The lists of a run, in their order. */
export type Lists = {
  readonly entries: readonly Entry[];
  /** All that is wrong in them. */
  readonly errors: readonly ImageError<'LIST_INVALID'>[];
  /** What lists say and is not done. */
  readonly notes: readonly Note[];
  readonly registries: readonly RegistryWish[];
};
type Note = Awaited<ReturnType<typeof readList>>['notes'][number];

/**
 * Reads the lists of a run: the values of -f. Everything that is wrong in them is in the result.
 *
 * @throws ImageError for a list that cannot be read at all
 */
export async function readLists(
  paths: readonly string[],
  { stdin, signal, environment }: Pick<Io, 'stdin' | 'signal' | 'environment'>,
): Promise<Lists> {
  const lists = [];
  for (const path of paths) {
    lists.push(await readList({ path, directory: process.cwd(), input: stdin, environment }, signal));
  }
  return {
    entries: lists.flatMap(({ entries }) => entries),
    errors: lists.flatMap(({ errors }) => errors),
    notes: lists.flatMap(({ notes }) => notes),
    registries: lists.flatMap(({ registries }) => registries),
  };
}

/** What has to be said about lists before the work begins: each once. */
export function listWarnings({ notes, registries }: Lists, insecure: Insecure): readonly string[] {
  const unheard = registries.flatMap(({ host, insecure: check, place }) =>
    check === undefined || insecure[check]
      ? []
      : [
          `${showPlace(place)}: ${check} of ${host} is checked all the same: only --insecure-options=${check} lifts that`,
        ],
  );
  return [...new Set([...notes.map(({ place, text }) => `${showPlace(place)}: ${text}`), ...unheard])];
}

/** The credentials that lists have, by registry: those of the first list count. */
export function listCredentials({ registries }: Pick<Lists, 'registries'>) {
  const found = new Map<string, { readonly user: string; readonly password: string }>();
  for (const { host, credentials } of registries) {
    if (credentials && !found.has(host)) found.set(host, credentials);
  }
  return Object.fromEntries(found);
}

/** A selection of tags, and how many of the other requests come before it. */
export type AskedTags = { readonly before: number; readonly entry: TagsEntry };

type Chosen = { readonly apps: readonly AppInput[]; readonly tags: readonly AskedTags[] };

/** So many registries are asked for their tags at a time. */
const atOnce = 8;

/**
 * The requests of a run with those that selections of tags stand for, in the order of the lists. Nothing is fetched if one of them
 * cannot be told.
 *
 * @throws LIST_INVALID for a selection that matches nothing, and what the finder throws, with the place of the entry
 */
export async function chooseTags(
  { apps, tags }: Chosen,
  finder: Pick<Finder, 'listTags'>,
  signal: AbortSignal,
): Promise<readonly AppInput[]> {
  if (tags.length === 0) return apps;
  const { selectTags } = await import('../../lists/select-tags.ts'); // few lists need it
  const choose = async ({ entry }: AskedTags): Promise<readonly AppInput[]> => {
    const { repository, selection, place, platforms, keep } = entry;
    const all = await finder.listTags(repository, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      const data = toErrorData(asImageError(error));
      throw fromErrorData({ ...data, message: `${showPlace(place)}: ${data.message}` });
    });
    const chosen = selectTags(all, selection);
    if (chosen.length > 0) {
      const wishes = { ...(platforms && { platform: platforms }), ...(keep && { keep }) };
      return chosen.map((tag) => ({ image: `${repository}:${tag}`, type: 'docker', ...wishes }));
    }
    const problem = `of ${all.length} tags of ${showReference(repository)} none is meant`;
    throw listInvalid({ place, problem });
  };
  const found: (readonly AppInput[])[] = [];
  for (let at = 0; at < tags.length; at += atOnce)
    found.push(...(await Promise.all(tags.slice(at, at + atOnce).map(choose))));
  let next = 0;
  const parts = tags.map(({ before }, index) => {
    const part = [...apps.slice(next, before), ...(found[index] ?? [])];
    next = before;
    return part;
  });
  return [...parts.flat(), ...apps.slice(next)];
}
