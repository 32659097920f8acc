import { isImageError } from '../../errors.ts';
import { parsePlatformChoice } from '../../image/platform.ts';
import type { Selection, Source, Wishes } from '../list.ts';
import { entriesOf, itemsOf, member, type Node, type TextNode } from '../located.ts';

/** As in a lock file. With aliases, a short text could stand for very many. */
const maxPlatforms = 64;

/** The platforms that a text or a list of texts names; what is no platform is reported. */
export function platformsOf(node: Node | undefined, source: Source): Wishes {
  if (node?.kind === 'list' && node.items.length > maxPlatforms) {
    source.problem(node.at, `more than ${maxPlatforms} platforms`);
    return {};
  }
  const platforms = textsOf(node, 'expected a platform such as linux/arm64', source).flatMap(({ at, text }) => {
    const fault = platformFault(text);
    if (fault !== undefined) source.problem(at, fault);
    return fault === undefined ? [text] : [];
  });
  return platforms.length > 0 ? { platforms } : {};
}

/** What is wrong with a text as a platform. */
function platformFault(text: string): string | undefined {
  try {
    parsePlatformChoice(text, 'platform');
    return undefined;
  } catch (error) {
    if (!isImageError(error)) throw error;
    return error.message;
  }
}

/** The tags that the patterns in two members choose and leave out. Each is a pattern or a list of them, which have to match a whole tag. */
export function patternsOf(
  tags: Node | undefined,
  keys: { readonly include: string; readonly exclude: string },
  source: Source,
): Selection {
  const patterns = (key: string): readonly string[] =>
    textsOf(member(tags, key), `${key} has patterns of tags`, source).map(({ text }) => text);
  const [include, exclude] = [patterns(keys.include), patterns(keys.exclude)];
  return {
    ...((include.length > 0 || exclude.length > 0) && { match: 'whole' as const }),
    ...(include.length > 0 && { include }),
    ...(exclude.length > 0 && { exclude }),
  };
}

/** The texts that a node is or lists. @param expected - what to say of anything else that stands there. */
export function textsOf(node: Node | undefined, expected: string, source: Source): readonly TextNode[] {
  const nodes = node?.kind === 'list' ? node.items : node ? [node] : [];
  return nodes.flatMap((one) => {
    if (one.kind === 'text') return [one];
    source.problem(one.at, expected);
    return [];
  });
}

/** The items of a list that is a member of a map. Anything else that stands there is reported, since it would count for nothing. */
export function listIn(node: Node | undefined, key: string, source: Source): readonly Node[] {
  requireKind(member(node, key), 'list', key, source);
  return itemsOf(node, key);
}

/** The entries of a map that is a member of a map, as in listIn. */
export function mapIn(node: Node | undefined, key: string, source: Source): readonly (readonly [string, Node])[] {
  requireKind(member(node, key), 'map', key, source);
  return entriesOf(node, key);
}

/** The scalar that is a member of a map, as in listIn. */
export function textIn(node: Node | undefined, key: string, source: Source): TextNode | undefined {
  const found = member(node, key);
  requireKind(found, 'text', key, source);
  return found?.kind === 'text' ? found : undefined;
}

function requireKind(node: Node | undefined, kind: Node['kind'], key: string, source: Source): void {
  if (node && node.kind !== kind) source.problem(node.at, `${key} has to be a ${kind}`);
}
