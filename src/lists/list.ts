import { hasCode, ImageError } from '../errors.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';

/** The words that may stand before a list: `-f compose:FILE`. */
export const listTypes = [
  ...['text', 'images', 'list', 'kubernetes', 'compose', 'skopeo'],
  ...['regsync', 'hauler', 'imgpkg', 'oc-mirror', 'result', 'lock'],
] as const;
export type ListType = (typeof listTypes)[number];

/** Where a list says something. Line and column count from 1. */
export type Place = {
  /** The list as shown: its path, or `standard input`. */
  readonly list: string;
  readonly line: number;
  readonly column?: number;
};

/** What a list asks for one entry, instead of what the options say. */
export type Wishes = {
  /** The absolute path of a detached signature. */
  readonly signature?: string;
  /** As `--platform`. */
  readonly platforms?: readonly string[];
  readonly keep?: 'aci' | 'oci' | 'both';
};

/** What an entry asks for, without the rest of it. */
export function pickWishes({ signature, platforms, keep }: Wishes): Wishes {
  return { ...(signature !== undefined && { signature }), ...(platforms && { platforms }), ...(keep && { keep }) };
}

/** An image. */
export type ImageEntry = Wishes & {
  readonly kind: 'image';
  /** As it is written. */
  readonly text: string;
  /** What to ask for: the text, or `docker://…` where lists of that type have references of registries. */
  readonly image: string;
  /** `docker` where the type of the list says that it is a reference of a registry. */
  readonly type: 'guess' | 'docker';
  readonly place: Place;
  /** The absolute path that a relative path is resolved against. */
  readonly directory: string;
};

/** Which tags of a repository are meant. Without any member: all. */
export type Selection = {
  /** Patterns in the syntax of RE2; a tag has to match one of them. `whole` patterns have to match the whole tag. */
  readonly include?: readonly string[];
  /** As include; a tag must match none of them. */
  readonly exclude?: readonly string[];
  /** Where a pattern has to match: anywhere, which is how skopeo reads it, or from the first character to the last. */
  readonly match?: 'whole' | 'part';
  /** A range of versions. Tags that are no version are left out. */
  readonly semver?: string;
  /** So many of what is left, those with the highest versions. */
  readonly newest?: number;
};

/** A repository of a registry, of which some tags are meant. */
export type TagsEntry = Wishes & {
  readonly kind: 'tags';
  /** `docker://HOST/NAME`, without a tag. */
  readonly repository: string;
  readonly selection: Selection;
  readonly place: Place;
};

export type Entry = ImageEntry | TagsEntry;

/** Something that a list says and that is not done, or only on a condition. */
export type Note = { readonly place: Place; readonly text: string };

/** What a list says about reaching a registry. It holds for that registry alone. */
export type RegistryWish = {
  /** As in references: `quay.io`, `localhost:5000`. */
  readonly host: string;
  readonly credentials?: { readonly user: string; readonly password: string };
  /** The check that has to be lifted by --insecure-options. */
  readonly insecure?: 'tls' | 'http';
  readonly place: Place;
};

/** What is wrong at a place. Plain data, since large lists are parsed in a thread. */
export type Problem = { readonly place: Place; readonly problem: string };

/** Everything that one file says. Plain data. */
export type ParsedList = {
  readonly entries: readonly Entry[];
  readonly problems: readonly Problem[];
  readonly notes: readonly Note[];
  readonly registries: readonly RegistryWish[];
};

const maxErrors = 1000;
const maxEntries = 1_000_000;

/** `compose.yaml, line 3, column 12`. */
export function showPlace({ list, line, column }: Place): string {
  return `${list}, line ${line}${column === undefined ? '' : `, column ${column}`}`;
}

export function listInvalid({ place, problem }: Problem): ImageError<'LIST_INVALID'> {
  return new ImageError('LIST_INVALID', `${showPlace(place)}: ${problem}`, { ...place });
}

/** @throws LIST_INVALID after a thousand errors: the file is no list */
export function requireFew(count: number, place: Place): void {
  if (count <= maxErrors) return;
  const message = `${place.list} is not a list: more than ${maxErrors} errors`;
  throw new ImageError('LIST_INVALID', message, { ...place });
}

/** @throws LIMIT_EXCEEDED after a million entries */
export function requireNotMany(count: number, list: string): void {
  if (count <= maxEntries) return;
  const message = `${list} names more than ${maxEntries} images`;
  throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'list entries', maximum: maxEntries });
}

/** One file that is being read, as the formats see it. `at` is a position in its text. */
export type Source = {
  readonly text: string;
  readonly shown: string;
  /** The absolute path that relative paths in it are resolved against. */
  readonly directory: string;
  readonly placeOf: (at: number) => Place;
  /** Takes a reference of a registry, or reports what is wrong with it. */
  readonly image: (at: number, text: string, wishes?: Wishes) => void;
  /** Takes a reference that is read as on the command line, relative to `directory`, default that of the list. */
  readonly asked: (at: number, text: string, wishes?: Wishes, directory?: string) => void;
  readonly tags: (at: number, repository: string, selection: Selection, wishes?: Wishes) => void;
  readonly problem: (at: number, problem: string) => void;
  readonly note: (at: number, text: string) => void;
  readonly registry: (at: number, wish: Omit<RegistryWish, 'place'>) => void;
};

export type Collector = {
  readonly found: ParsedList;
  /** A file whose entries are collected: the list itself, or one that it includes. */
  readonly source: (file: { readonly text: string; readonly shown: string; readonly directory: string }) => Source;
};

/** Collects what the formats find. @throws LIST_INVALID, LIMIT_EXCEEDED where that is too much */
export function createCollector(): Collector {
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  const notes: Note[] = [];
  const registries: RegistryWish[] = [];

  const source: Collector['source'] = ({ text, shown, directory }) => {
    const placeOf = createPlaces(text, shown);
    const take = (entry: Entry): void => {
      entries.push(entry);
      requireNotMany(entries.length, shown);
    };
    const problem = (at: number, problem: string): void => {
      problems.push({ place: placeOf(at), problem });
      requireFew(problems.length, placeOf(at));
    };
    /** Whether a text can be a reference of a registry; reports what is wrong with it. */
    const isReference = (at: number, text: string): boolean => {
      const fault = referenceFault(text);
      if (fault !== undefined) problem(at, fault);
      return fault === undefined;
    };
    return {
      ...{ text, shown, directory, placeOf, problem },
      image(at, text, wishes) {
        const image = withScheme(text);
        if (!isReference(at, text)) return;
        take({ kind: 'image', text, image, type: 'docker', place: placeOf(at), directory, ...wishes });
      },
      asked(at, text, wishes, base = directory) {
        const open = openTemplate(text);
        if (open !== undefined) problem(at, open);
        else take({ kind: 'image', text, image: text, type: 'guess', place: placeOf(at), directory: base, ...wishes });
      },
      tags(at, repository, selection, wishes) {
        if (!isReference(at, repository)) return;
        const { tag, digest, host, repository: path } = parseRegistryReference(withScheme(repository));
        if (digest !== undefined || (tag !== 'latest' && tag !== undefined)) {
          problem(at, `"${show(repository)}" is to be a repository, without a tag or a digest`);
        } else {
          const name = `docker://${host}/${path}`;
          take({ kind: 'tags', repository: name, selection, place: placeOf(at), ...wishes });
        }
      },
      note: (at, text) => void notes.push({ place: placeOf(at), text }),
      registry: (at, wish) => void registries.push({ ...wish, place: placeOf(at) }),
    };
  };
  return { found: { entries, problems, notes, registries }, source };
}

/** `docker://…`, the form of references of registries on the command line. */
export function withScheme(text: string): string {
  return /^docker:\/\//i.test(text) ? text : `docker://${text}`;
}

/** What is wrong with a text as a reference of a registry. */
export function referenceFault(text: string): string | undefined {
  const open = openTemplate(text);
  if (open !== undefined) return open;
  try {
    parseRegistryReference(withScheme(text));
    return undefined;
  } catch (error) {
    if (!hasCode(error, 'REFERENCE_INVALID')) throw error;
    return `no reference of a registry: ${error.message} (${error.details.input.replace('docker://', '')})`;
  }
}

/** Templates of Go, references of Kubernetes and OpenShift, variables of a shell. */
const template = /\{\{(?:[^]{0,200}?\}\})?|\$\([^)]{0,200}\)|\$\{[^}]{0,200}\}|\$[A-Za-z_]\w*/;

/** What to say of a text in which something was to be put before it becomes a list. */
function openTemplate(text: string): string | undefined {
  const open = template.exec(text)?.[0];
  return open === undefined ? undefined : `"${show(open)}" is left open: a list has to have what it stands for`;
}

/** @returns a function that finds line and column of a position. */
function createPlaces(text: string, list: string): (at: number) => Place {
  let starts: number[] | undefined;
  const lineStarts = (): number[] => {
    const found = [0];
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) found.push(end + 1);
    return found;
  };
  return (at) => {
    starts ??= lineStarts();
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    return { list, line: low + 1, column: at - (starts[low] ?? 0) + 1 };
  };
}
