import type { Writable } from 'node:stream';

import {
  asImageError,
  createFileChecks,
  type ImageError,
  parseReference,
  referenceKey,
  showReference,
} from '../../../internal.ts';
import { type Entry, type Note, type Place, type Selection, showPlace, type Wishes } from '../../../lists/list.ts';
import type { Run } from '../../command.ts';
import { textOf, valueOf } from '../../options/read.ts';
import { parseInsecureOptions } from '../../options/values.ts';
import { errorLines } from '../../output/error-line.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { createMessages } from '../../output/messages.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { listWarnings, readLists } from '../lists.ts';

/** `list FILE...`: prints what lists name, each once, with where. */
export const runListCommand: Run = async (io, line) => {
  const { stdout, stderr } = io;
  const insecure = valueOf(line, 'insecure-options', parseInsecureOptions) ?? {};
  const lists = await readLists(
    line.operands.map(({ text }) => text),
    io,
  );
  const errors: { readonly asked: string | undefined; readonly error: ImageError }[] = [];
  for (const error of lists.errors) errors.push({ asked: undefined, error });
  const named = collect(lists.entries, (asked, error) => errors.push({ asked, error }));
  if (errors.length > 0) {
    await write(stderr, errorLines(errors));
    return exitCodes.usage;
  }
  const isJson = textOf(line, 'output') === 'json';
  if (isJson) await printJson(named, lists.notes, stdout);
  else await printText(named, stdout);
  const messages = createMessages((text) => void stderr.write(`${text}\n`), stderr);
  listWarnings(lists, insecure).forEach(messages.warn);
  if (named.length === 0) messages.warn('no list names an image');
  return exitCodes.success;
};

/** What is asked for once, though it may stand in several places. */
type Named = Wishes & {
  /** Absent for a selection of tags. */
  readonly reference?: string;
  readonly repository?: string;
  readonly tags?: Selection;
  readonly places: Place[];
};

function collect(entries: readonly Entry[], onError: (asked: string, error: ImageError) => void): readonly Named[] {
  const isFileIn = createFileChecks();
  const named = new Map<string, Named>();
  for (const { place, ...entry } of entries) {
    const { signature, platforms, keep } = entry;
    const wishes = { ...(signature && { signature }), ...(platforms && { platforms }), ...(keep && { keep }) };
    try {
      const what = entry.kind === 'tags' ? tagsOf(entry) : referenceOf(entry, isFileIn);
      const key = JSON.stringify([what.key, wishes]);
      const known = named.get(key);
      if (known) known.places.push(place);
      else named.set(key, { ...what.shown, ...wishes, places: [place] });
    } catch (error) {
      const text = entry.kind === 'tags' ? entry.repository : entry.text;
      onError(`${showPlace(place)}: ${showReference(text)}`, asImageError(error));
    }
  }
  return [...named.values()];
}

function tagsOf({ repository, selection }: Omit<Extract<Entry, { kind: 'tags' }>, 'place'>) {
  return { key: JSON.stringify([repository, selection]), shown: { repository, tags: selection } };
}

/** A path that is relative to its list is made absolute. */
function referenceOf(
  { image, directory }: Omit<Extract<Entry, { kind: 'image' }>, 'place'>,
  isFileIn: ReturnType<typeof createFileChecks>,
) {
  const reference = parseReference(image, { directory, isFile: isFileIn(directory) });
  const isElsewhere = reference.kind === 'file' && directory !== process.cwd();
  return { key: referenceKey(reference), shown: { reference: isElsewhere ? reference.path : image } };
}

const batch = 1000;

/** Lines that are a list again. What cannot be one line is a comment. */
async function printText(named: readonly Named[], stdout: Writable): Promise<void> {
  for (let at = 0; at < named.length; at += batch) {
    const lines = named.slice(at, at + batch).map(({ reference, repository = '', signature, tags }) => {
      if (reference === undefined) return `# ${showReference(repository)}: tags ${toSafeJson(tags)}\n`;
      return `${showReference(reference)}${signature === undefined ? '' : ` signature=${signature}`}\n`;
    });
    await write(stdout, lines.join(''));
  }
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
