import { ImageError } from '../errors.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import { formatReference, referenceKey, type NameReference } from '../image/reference.ts';
import type { NodeRequest } from './node.ts';

/**
 * The nodes that an image's dependencies ask for, in the order of its manifest.
 *
 * @param nodes - those of the batch so far, by key.
 * @throws LIMIT_EXCEEDED when they would go deeper, or become more, than allowed.
 */
export function expand(
  { depth }: Pick<NodeRequest, 'depth'>,
  dependencies: readonly Dependency[],
  limits: Pick<Limits, 'depth' | 'nodes'>,
  nodes: ReadonlyMap<string, unknown>,
): readonly NodeRequest[] {
  if (dependencies.length === 0) return [];
  atMost('depth', depth + 1, limits.depth, 'dependencies go deeper than');
  const more = new Set<string>();
  return dependencies.map((dependency) => {
    const request = requestOf(dependency, depth + 1);
    if (!nodes.has(request.key)) more.add(request.key);
    atMost('nodes', nodes.size + more.size, limits.nodes, 'the batch needs more images than');
    return request;
  });
}

/** @param depth - that of the node. */
export function requestOf({ imageName, labels, imageId, size }: Dependency, depth: number): NodeRequest {
  const unnamed: NameReference = { kind: 'name', text: imageName, name: imageName, labels };
  const reference = { ...unnamed, text: formatReference(unnamed) };
  const pin = { ...(imageId !== undefined && { imageId }), ...(size !== undefined && { size }) };
  const pinned = imageId === undefined && size === undefined ? '' : `@${imageId ?? ''}/${size ?? ''}`;
  return { key: referenceKey(reference) + pinned, reference, signature: undefined, pin, depth };
}

function atMost(limit: string, wanted: number, maximum: number, what: string): void {
  if (wanted > maximum) throw new ImageError('LIMIT_EXCEEDED', `${what} ${maximum}`, { limit, maximum });
}
