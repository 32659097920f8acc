import { type ImageError, type Insecure } from '../../internal.ts';
import { type Entry, type RegistryWish, showPlace } from '../../lists/list.ts';
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
