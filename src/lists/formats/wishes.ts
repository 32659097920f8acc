import { isImageError } from '../../errors.ts';
import { parsePlatformChoice } from '../../image/platform.ts';
import type { Source, Wishes } from '../list.ts';
import type { Node } from '../located.ts';

/** The platforms that a text or a list of texts names; what is no platform is reported. */
export function platformsOf(node: Node | undefined, source: Source): Wishes {
  const nodes = node?.kind === 'list' ? node.items : node ? [node] : [];
  const platforms = nodes.flatMap((one) => {
    const fault = one.kind === 'text' ? platformFault(one.text) : 'expected a platform such as linux/arm64';
    if (fault !== undefined) source.problem(one.at, fault);
    return one.kind === 'text' && fault === undefined ? [one.text] : [];
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
