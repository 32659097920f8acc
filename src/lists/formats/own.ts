import { resolve } from 'node:path';

import { isPlatformName } from '../../image/platform.ts';
import { show } from '../../image/show.ts';
import { isHttpUrl } from '../../image/url.ts';
import type { Selection, Source, Wishes } from '../list.ts';
import { entriesOf, type MapNode, member, type Node, textMember } from '../located.ts';
import { listIn, mapIn, patternsOf, platformsOf, textIn } from './wishes.ts';

const listSchema = 'longshore.list/1';
const keeps = ['aci', 'oci', 'both'] as const;

/**
 * Our own list: references and repositories, each with what is to be done with it.
 *
 * @see schemas/list-1.json
 */
export function readOwnList(root: Node, source: Source): void {
  if (root.kind !== 'map') return source.problem(root.at, 'a list is a map with schema and images');
  const schema = textMember(root, 'schema');
  if (schema?.text !== listSchema) source.problem((schema ?? root).at, `the schema of a list is ${listSchema}`);
  requireKnown(root, ['schema', '$schema', 'defaults', 'images'], source);
  const defaults = member(root, 'defaults');
  if (defaults) requireKnown(defaults, ['platforms', 'keep'], source);
  const common = defaults ? wishesOf(defaults, source) : {};
  const images = root.entries.get('images');
  if (images?.kind !== 'list') return source.problem((images ?? root).at, 'images has to be a list');
  for (const image of images.items) {
    if (image.kind === 'text') source.asked(image.at, image.text, common);
    else if (image.kind === 'map') readEntry(image, source, common);
    else source.problem(image.at, 'an image is a reference, or a map with reference or repository');
  }
}

function readEntry(entry: MapNode, source: Source, common: Wishes): void {
  requireKnown(entry, ['reference', 'repository', 'tags', 'signature', 'platforms', 'keep'], source);
  const [reference, repository] = ['reference', 'repository'].map((key) => textIn(entry, key, source));
  const [signature, tags] = [textIn(entry, 'signature', source), member(entry, 'tags')];
  if (signature && isHttpUrl(signature.text)) source.problem(signature.at, 'a signature is a local file, not a URL');
  const path = signature && { signature: resolve(source.directory, signature.text) };
  const wishes = { ...common, ...wishesOf(entry, source), ...path };
  if (!reference === !repository) source.problem(entry.at, 'an image has either a reference or a repository');
  else if (reference) {
    if (tags) source.problem(tags.at, 'tags are chosen of a repository, not of a reference');
    source.asked(reference.at, reference.text, wishes);
  } else if (repository) {
    if (signature) source.problem(signature.at, 'a repository has no signature of its own');
    if (tags) requireKnown(tags, ['include', 'exclude', 'semver', 'newest'], source);
    source.tags(repository.at, repository.text, selectionOf(tags, source), wishes);
  }
}

function wishesOf(node: Node, source: Source): Wishes {
  const keep = textIn(node, 'keep', source);
  const known = keeps.find((one) => one === keep?.text);
  if (keep && !known) source.problem(keep.at, `keep is ${keeps.join(', ')}, not "${show(keep.text)}"`);
  return { ...platformsOf(member(node, 'platforms'), source), ...(known && { keep: known }) };
}

function selectionOf(tags: Node | undefined, source: Source): Selection {
  const [semver, newest] = [textIn(tags, 'semver', source), textIn(tags, 'newest', source)];
  const count = newest && /^[1-9]\d{0,8}$/.test(newest.text) ? Number(newest.text) : undefined;
  if (newest && count === undefined) source.problem(newest.at, 'newest is a whole number from 1');
  return {
    ...patternsOf(tags, { include: 'include', exclude: 'exclude' }, source),
    ...(semver && { semver: semver.text }),
    ...(count !== undefined && { newest: count }),
  };
}

function requireKnown(node: Node, known: readonly string[], source: Source): void {
  if (node.kind !== 'map') return source.problem(node.at, 'expected a map');
  for (const [key, value] of node.entries) {
    const { at } = value;
    if (!known.includes(key)) source.problem(at, `"${show(key)}" is not known here; there are ${known.join(', ')}`);
    else if (value.kind === 'text' && value.isNull) source.problem(at, `${key} has no value`);
    else if (value.kind === 'list' && value.items.length === 0 && key === 'include')
      source.problem(at, 'include has no pattern, so that no tag would be meant');
  }
}

/**
 * The JSON of an earlier run: what failed or was cancelled, to be asked for again; and what `longshore list` printed. Relative paths are
 * relative to the working directory, as they were then.
 */
export function readResult(root: Node, source: Source): void {
  const directory = process.cwd();
  for (const image of listIn(root, 'images', source)) {
    const [reference, status] = [textMember(image, 'reference'), textMember(image, 'status')?.text ?? ''];
    if (!reference) source.problem(image.at, 'an image of a result has to have its reference');
    else if (status === 'failed' || status === 'cancelled') source.asked(reference.at, reference.text, {}, directory);
  }
  for (const named of listIn(root, 'references', source)) {
    const [reference, repository] = [textMember(named, 'reference'), textMember(named, 'repository')];
    const signature = textMember(named, 'signature');
    const wishes = { ...wishesOf(named, source), ...(signature && { signature: resolve(directory, signature.text) }) };
    const digest = textMember(named, 'digest')?.text;
    const pin = digest === undefined || reference?.text.includes('@') ? '' : `@${digest}`;
    if (reference) source.asked(reference.at, reference.text + pin, wishes, directory);
    else if (repository)
      source.tags(repository.at, repository.text, printedSelection(member(named, 'tags'), source), wishes);
    else source.problem(named.at, 'a reference is missing');
  }
}

/** A selection as `longshore list` prints it, which tells also how patterns are meant. */
function printedSelection(tags: Node | undefined, source: Source): Selection {
  const match = textMember(tags, 'match')?.text;
  return { ...selectionOf(tags, source), ...((match === 'whole' || match === 'part') && { match }) };
}

/** A dependency that is pinned to an image. It comes with the image that needs it, and nobody can ask for it. */
const pinned = /^(?!https?:).*@sha512-[0-9a-f]{2,128}$/i;

/**
 * The references that a lock file has, with their platforms: those of the entry, or in the first form of lock files that behind the
 * reference (`docker://host/name:tag#linux/amd64`). Which images they are counts only with `--lock`.
 */
export function readLock(root: Node, source: Source): void {
  const images = mapIn(root, 'images', source);
  const asked = new Map<string, { readonly at: number; readonly platforms: Set<string> }>();
  for (const [key, node] of images) {
    if (pinned.test(key)) continue;
    const [, reference = key, platform] = /^(docker:.*)#([^#]*)$/i.exec(key) ?? [];
    const known = asked.get(reference) ?? { at: node.at, platforms: new Set() };
    asked.set(reference, known);
    for (const one of [
      ...(platform === undefined ? [] : [platform]),
      ...entriesOf(node, 'platforms').map(([name]) => name),
    ]) {
      if (isPlatformName(one)) known.platforms.add(one);
      else source.problem(node.at, `"${show(one)}" is no platform`);
    }
  }
  for (const [reference, { at, platforms }] of asked) {
    const isWhole = platforms.delete('all'); // which is asked for alone
    const each = [...(isWhole ? [['all']] : []), ...(platforms.size > 0 ? [[...platforms]] : [])];
    for (const one of each) source.asked(at, reference, { platforms: one }, process.cwd());
    if (each.length === 0) source.asked(at, reference, {}, process.cwd());
  }
  if (asked.size > 0)
    source.note(
      root.at,
      'the references are taken; what they are locked to counts where this file is the lock of the run, too',
    );
}
