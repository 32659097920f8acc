import {
  type AppInput,
  asImageError,
  type Finder,
  fromErrorData,
  hasCode,
  ImageError,
  type Insecure,
  isImageError,
  showReference,
  type Store,
  toErrorData,
} from '../../internal.ts';
import {
  type Entry,
  type ImageEntry,
  listInvalid,
  listTypes,
  type Note,
  pickWishes,
  type RegistryWish,
  showPlace,
  type TagsEntry,
} from '../../lists/list.ts';
import { readList } from '../../lists/read-list.ts';
import type { Io } from '../command.ts';
import { didYouMean } from '../options/suggestion.ts';

/** The lists of a run, in their order. */
export type Lists = {
  readonly entries: readonly Entry[];
  /** All that is wrong in them. */
  readonly errors: readonly ImageError<'LIST_INVALID'>[];
  /** What lists say and is not done. */
  readonly notes: readonly Note[];
  readonly registries: readonly RegistryWish[];
};

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
    const source = { path, directory: process.cwd(), input: stdin, environment };
    lists.push(
      await readList(source, signal).catch((error: unknown) => {
        throw hasCode(error, 'FILE_NOT_FOUND') ? withSuggestion(path, error) : error;
      }),
    );
  }
  return {
    entries: lists.flatMap(({ entries }) => entries),
    errors: lists.flatMap(({ errors }) => errors),
    notes: lists.flatMap(({ notes }) => notes),
    registries: lists.flatMap(({ registries }) => registries),
  };
}

/** Asks for the type that may be meant, where the path begins with a word that is nearly one. */
function withSuggestion(path: string, error: ImageError<'FILE_NOT_FOUND'>): ImageError {
  const at = path.indexOf(':');
  const question = at > 0 ? didYouMean(path.slice(0, at), listTypes) : '';
  const data = toErrorData(error);
  return question === '' ? error : fromErrorData({ ...data, message: data.message + question.replace(/\?$/, ':?') });
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

/** So many questions are put to registries at a time. */
const atOnce = 8;

/** Asks for each of the items, several at a time. @returns the answers in the order of the items; the error where there is none */
export async function askEach<T, A>(
  items: readonly T[],
  ask: (item: T) => Promise<A>,
  signal: AbortSignal,
): Promise<readonly (A | ImageError)[]> {
  const { default: PQueue } = await import('p-queue'); // most lists ask nothing
  const queue = new PQueue({ concurrency: atOnce });
  const answer = async (item: T): Promise<A | ImageError> => {
    signal.throwIfAborted();
    return ask(item).catch((error: unknown) => {
      signal.throwIfAborted();
      return asImageError(error);
    });
  };
  return queue.addAll(items.map((item) => () => answer(item)));
}

/**
 * The images that each selection of tags stands for, or why that cannot be told, with the place: LIST_INVALID where it matches
 * nothing, else what the finder throws.
 */
export async function answerSelections(
  entries: readonly TagsEntry[],
  finder: Pick<Finder, 'listTags'>,
  signal: AbortSignal,
): Promise<readonly (readonly ImageEntry[] | ImageError)[]> {
  if (entries.length === 0) return [];
  const { selectTags } = await import('../../lists/select-tags.ts'); // few lists need it
  const repositories = [...new Set(entries.map(({ repository }) => repository))];
  const answers = await askEach(repositories, (repository) => finder.listTags(repository, { signal }), signal);
  const known = new Map(repositories.map((repository, index) => [repository, answers[index] ?? []]));
  const directory = process.cwd();
  return entries.map((entry) => {
    const { repository, selection, place } = entry;
    const tags = known.get(repository) ?? [];
    if (isImageError(tags)) {
      const data = toErrorData(tags);
      const what = data.message.includes(repository.slice('docker://'.length))
        ? ''
        : `the tags of ${showReference(repository)}: `;
      return fromErrorData({ ...data, message: `${showPlace(place)}: ${what}${data.message}` });
    }
    const chosen = selectTags(tags, selection);
    const asked = { ...pickWishes(entry), kind: 'image', type: 'docker', place, directory } as const;
    if (chosen.length > 0)
      return chosen.map((tag) => ({ ...asked, text: `${repository}:${tag}`, image: `${repository}:${tag}` }));
    return listInvalid({ place, problem: `of ${tags.length} tags of ${showReference(repository)} none is meant` });
  });
}

/** The request for an image. @param workingDirectory - what relative paths are resolved against if the request names no other. */
export function appOf(entry: ImageEntry, workingDirectory: string): AppInput {
  const { image, type, directory, signature, platforms, keep } = entry;
  return {
    image,
    ...(type === 'docker' && { type }),
    ...(platforms && { platform: platforms }),
    ...(keep && { keep }),
    ...(directory !== workingDirectory && { directory }),
    ...(signature !== undefined && { signature }),
  };
}

/**
 * The requests of a run with those that selections of tags stand for, in the order of the lists. Nothing is fetched if one of them
 * cannot be told.
 *
 * @throws AggregateError with all that answerSelections cannot tell
 */
export async function chooseTags(
  { apps, tags }: Chosen,
  finder: Pick<Finder, 'listTags'>,
  signal: AbortSignal,
): Promise<readonly AppInput[]> {
  if (tags.length === 0) return apps;
  const entries = tags.map(({ entry }) => entry);
  const answers = await answerSelections(entries, finder, signal);
  const failures = answers.filter(isImageError);
  if (failures.length > 0) throw new AggregateError(failures);
  const directory = process.cwd();
  let next = 0;
  const parts = tags.map(({ before }, index) => {
    const answer = answers[index];
    const images = isImageError(answer) ? [] : (answer ?? []);
    const part = [...apps.slice(next, before), ...images.map((image) => appOf(image, directory))];
    next = before;
    return part;
  });
  return [...parts.flat(), ...apps.slice(next)];
}

/** Lists the tags of a repository that the store has. @returns what answers selections without the network */
export function tagsInStore(store: Store): Pick<Finder, 'listTags'> {
  let reading: Promise<ReadonlyMap<string, readonly string[]>> | undefined;
  return {
    async listTags(repository) {
      const tags = (await (reading ??= readTags(store))).get(repository) ?? [];
      if (tags.length > 0) return tags;
      const message = `the store has no tag of ${showReference(repository)}`;
      throw new ImageError('NOT_IN_STORE', message, { asked: repository });
    },
  };
}

async function readTags(store: Store): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>();
  for await (const { reference } of store.registryImages()) {
    const [, repository, tag] = /^([^@]+):([^:/@]+)$/.exec(reference) ?? [];
    if (repository === undefined || tag === undefined) continue; // by its digest alone
    const key = `docker://${repository}`;
    const tags = found.get(key) ?? [];
    found.set(key, tags);
    tags.push(tag);
  }
  for (const tags of found.values()) tags.sort(); // not in the order in which they happened to come
  return found;
}
