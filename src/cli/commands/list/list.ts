import type { Writable } from 'node:stream';

import {
  asImageError,
  createFileChecks,
  type Digest,
  type Finder,
  type ImageError,
  isHttpUrl,
  isImageError,
  isOfRegistry,
  type Names,
  parseReference,
  referenceKey,
  show,
  showReference,
} from '../../../internal.ts';
import {
  type Entry,
  type ImageEntry,
  listInvalid,
  type Note,
  pickWishes,
  type Place,
  type Selection,
  showPlace,
  type TagsEntry,
  type Wishes,
  withScheme,
} from '../../../lists/list.ts';
import type { Io, Run } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { directoriesOf, isOn, namesOf, textOf, valueOf } from '../../options/read.ts';
import { errorLines } from '../../output/error-line.ts';
import { exitCodeOf, exitCodes, sharedExitCode } from '../../output/exit-code.ts';
import { createMessages } from '../../output/messages.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { registrySettings } from '../../registries/registry-settings.ts';
import { openFinder, readCaFile } from '../fetch/network.ts';
import { type FetchOptions, fetchOptions } from '../fetch/options.ts';
import { withCredentials } from '../fetch/prepare.ts';
import { createOnce } from '../fetch/requests.ts';
import { answerSelections, askEach, listCredentials, type Lists, listWarnings, readLists } from '../lists.ts';

/** `list FILE...`: prints what lists name, each once, with where. */
export const runListCommand: Run = async (io, line) => {
  const { stdout, stderr } = io;
  const options = fetchOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const lists = await readLists(
    line.operands.map(({ text }) => text),
    io,
  );
  const errors: Failure[] = lists.errors.map((error) => ({ asked: undefined, error }));
  const onError = (asked: string | undefined, error: ImageError): void => void errors.push({ asked, error });
  const found = collect(lists.entries, namesOf(line), onError);
  if (errors.length > 0) {
    await write(stderr, errorLines(errors));
    return exitCodes.usage;
  }
  const messages = createMessages((text) => void stderr.write(`${text}\n`), stderr);
  const isResolving = isOn(line, 'resolve');
  const named = isResolving ? await resolveAll(io, line, { options, ca, lists, onWarning: messages.warn }) : found;
  const isJson = textOf(line, 'output') === 'json';
  if (isJson) await printJson(named, lists.notes, stdout);
  else await printText(named, stdout);
  listWarnings(lists, options.insecure).forEach(messages.warn);
  if (found.length === 0) messages.warn('no list names an image');
  const failures = named.flatMap(({ error, reference, places: [place] }) => {
    if (!error) return [];
    // that of a selection of tags names its place itself
    return [{ asked: reference && place && `${showPlace(place)}: ${showReference(reference)}`, error }];
  });
  await write(stderr, errorLines(failures));
  return sharedExitCode(failures.map(({ error }) => exitCodeOf(error)));
};

type Failure = { readonly asked: string | undefined; readonly error: ImageError };

/** What is asked for once, though it may stand in several places. */
type Named = Wishes & {
  /** Absent for a selection of tags. */
  readonly reference?: string;
  readonly repository?: string;
  readonly tags?: Selection;
  /** What the reference stands for, once its registry was asked. */
  readonly digest?: Digest;
  /** Why that cannot be told. */
  readonly error?: ImageError;
  readonly places: Place[];
};

type Resolving = {
  readonly options: FetchOptions;
  readonly ca: readonly string[] | undefined;
  readonly lists: Lists;
  readonly onWarning: (message: string) => void;
};

/** Asks the registries for tags and digests. What is of no registry has none. */
async function resolveAll(
  io: Io,
  line: CommandLine,
  { options, ca, lists, onWarning }: Resolving,
): Promise<readonly Named[]> {
  const { signal, environment } = io;
  const directories = directoriesOf(line, environment);
  const config = withCredentials(await readConfig(directories), listCredentials(lists));
  const registries = await registrySettings(options.mirrors, environment, onWarning);
  const dir = textOf(line, 'dir');
  // nothing is verified here
  const unchecked = { ...options, insecure: { ...options.insecure, image: true } };
  const settings = { options: unchecked, config, directories, environment, dir, ca, registries };
  await using resources = new AsyncDisposableStack();
  const { finder } = await openFinder(resources, { ...settings, access: 'read', apps: [] }, (event) => {
    if (event.type === 'warning') onWarning(event.message);
  });
  const named = await expandSelections(lists.entries, namesOf(line), finder, signal);
  const ofRegistries = named.filter(({ reference }) => reference !== undefined && isOfRegistry({ image: reference }));
  const answers = await askEach(ofRegistries, ({ reference = '' }) => finder.resolve(reference, { signal }), signal);
  const known = new Map(ofRegistries.map((one, index) => [one, answers[index]]));
  const others = named.filter(({ reference }) => reference !== undefined).length - ofRegistries.length;
  if (others > 0)
    onWarning(
      others === 1
        ? 'one reference has no digest: it is not of a registry'
        : `${others} references have no digest: they are not of a registry`,
    );
  return named.map((one) => {
    const answer = known.get(one);
    if (answer === undefined) return one;
    return { ...one, ...(isImageError(answer) ? { error: answer } : { digest: answer }) };
  });
}

/** What is named, with the tags that are chosen in the place of each selection that can be answered. */
async function expandSelections(
  entries: readonly Entry[],
  names: Names,
  finder: Pick<Finder, 'listTags'>,
  signal: AbortSignal,
): Promise<readonly Named[]> {
  const selections = entries.filter((entry) => entry.kind === 'tags');
  const answers = await answerSelections(selections, finder, signal);
  const known = new Map<Entry, (typeof answers)[number] | undefined>(
    selections.map((entry, index) => [entry, answers[index]]),
  );
  const failed = new Map<Entry, ImageError>();
  const expanded = entries.flatMap((entry): readonly Entry[] => {
    const answer = known.get(entry) ?? [entry];
    if (!isImageError(answer)) return answer;
    failed.set(entry, answer);
    return [entry];
  });
  const unexpected = (_: string | undefined, error: ImageError): never => {
    throw new Error('a reference was read before', { cause: error });
  };
  return collect(expanded, names, unexpected, failed);
}

/** @param failed - the selections of tags that cannot be answered. */
function collect(
  entries: readonly Entry[],
  names: Names,
  onError: (asked: string | undefined, error: ImageError) => void,
  failed: ReadonlyMap<Entry, ImageError> = new Map(),
): readonly Named[] {
  const isFileIn = createFileChecks();
  const once = createOnce();
  const named = new Map<string, Named>();
  for (const entry of entries) {
    const { place } = entry;
    const error = failed.get(entry);
    const wishes = pickWishes(entry);
    try {
      const what = entry.kind === 'tags' ? tagsOf(entry) : referenceOf(entry, names, isFileIn);
      const verdict = entry.kind === 'image' && once(what.key, entry);
      if (typeof verdict === 'string') {
        onError(undefined, listInvalid({ place, problem: verdict }));
        continue;
      }
      const key = JSON.stringify([what.key, wishes]);
      const known = named.get(key);
      if (known) known.places.push(place);
      else named.set(key, { ...what.shown, ...wishes, ...(error && { error }), places: [place] });
    } catch (error) {
      const text = entry.kind === 'tags' ? entry.repository : entry.text;
      onError(`${showPlace(place)}: ${showReference(text)}`, asImageError(error));
    }
  }
  return [...named.values()];
}

function tagsOf({ repository, selection }: TagsEntry) {
  return { key: JSON.stringify([repository, selection]), shown: { repository, tags: selection } };
}

/** A path that is relative to its list is made absolute, and what is a name of a registry by `--names` says so. */
function referenceOf({ image, directory }: ImageEntry, names: Names, isFileIn: ReturnType<typeof createFileChecks>) {
  const reference = parseReference(image, { directory, names, isFile: isFileIn(directory) });
  const isElsewhere = reference.kind === 'file' && directory !== process.cwd();
  const written = reference.kind === 'registry' ? withScheme(image) : image;
  return { key: referenceKey(reference), shown: { reference: isElsewhere ? reference.path : written } };
}

const batch = 1000;

/** Lines that are a list again, with what only JSON can have as comments. What cannot be one line is a comment, and what failed is left out. */
async function printText(named: readonly Named[], stdout: Writable): Promise<void> {
  for (let at = 0; at < named.length; at += batch) {
    const lines = named.slice(at, at + batch).map((one) => (one.error ? '' : `${formatLine(one)}\n`));
    await write(stdout, lines.join(''));
  }
}

function formatLine({ reference, repository = '', signature, tags, digest, platforms, keep }: Named): string {
  const wishes = [...(platforms ? [`platforms ${platforms.join(',')}`] : []), ...(keep ? [`keep ${keep}`] : [])];
  const comment = wishes.length === 0 ? '' : ` # ${wishes.join(', ')}`;
  if (reference === undefined) return `# ${showReference(repository)}: tags ${toSafeJson(tags)}${comment}`;
  const shown = showReference(reference);
  const pin = digest === undefined || reference.includes('@') ? '' : `@${digest}`;
  const line = `${shown}${pin}${signature === undefined ? '' : ` signature=${signature}`}`;
  const isWhole = isHttpUrl(reference) ? !/[?#]/.test(reference) : shown === reference;
  const isLine = isWhole && isOneWord(reference) && (signature === undefined || isOneWord(signature));
  return isLine ? `${line}${comment}` : `# ${show(line, 4096)}: only --output=json can have it`;
}

function isOneWord(text: string): boolean {
  return /^(?!#|signature=)[^\s\p{Cc}]+$/u.test(text);
}

async function printJson(named: readonly Named[], notes: readonly Note[], stdout: Writable): Promise<void> {
  await write(stdout, '{"schema":"longshore.references/1","references":[');
  await printItems(named, stdout);
  await write(stdout, '\n],"notes":[');
  const items = notes.map(({ place, text }) => ({ ...place, text }));
  await printItems(items, stdout);
  await write(stdout, '\n]}\n');
}

async function printItems(items: readonly object[], stdout: Writable): Promise<void> {
  for (let at = 0; at < items.length; at += batch) {
    const lines = items.slice(at, at + batch).map((item) => `\n${toSafeJson(item)}`);
    await write(stdout, `${at === 0 ? '' : ','}${lines.join(',')}`);
  }
}
