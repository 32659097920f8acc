import { ImageError } from '../errors.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import { formatReference, type NameReference, referenceKey } from '../image/reference.ts';
import type { NodeRequest } from './node.ts';

/**
 * The nodes for the dependencies of an image, in the order of its manifest.
 *
 * @param nodes - the nodes that the batch has, by key.
 * @throws LIMIT_EXCEEDED if the depth or the number of nodes would be over its limit.
 */
export function expand(
  { depth }: Pick<NodeRequest, 'depth'>,
  dependencies: readonly Dependency[],
  limits: Pick<Limits, 'depth' | 'nodes'>,
  nodes: ReadonlyMap<string, unknown>,
): readonly NodeRequest[] {
  if (dependencies.length === 0) return [];
  checkLimit('depth', depth + 1, limits.depth, 'dependencies go deeper than');
  const newKeys = new Set<string>();
  return dependencies.map((dependency) => {
    const request = requestOf(dependency, depth + 1);
    if (!nodes.has(request.key)) newKeys.add(request.key);
    checkLimit('nodes', nodes.size + newKeys.size, limits.nodes, 'the batch needs more images than');
    return request;
  });
}

/** @param depth - the depth of the new node. */
export function requestOf({ imageName, labels, imageId, size }: Dependency, depth: number): NodeRequest {
  const unnamed: NameReference = { kind: 'name', text: imageName, name: imageName, labels };
  const reference = { ...unnamed, text: formatReference(unnamed) };
  const pin = { ...(imageId !== undefined && { imageId }), ...(size !== undefined && { size }) };
  const pinned = imageId === undefined && size === undefined ? '' : `@${imageId ?? ''}/${size ?? ''}`;
  return { key: referenceKey(reference) + pinned, reference, signature: undefined, pin, depth };
}

function checkLimit(limit: string, value: number, maximum: number, what: string): void {
  if (value > maximum) throw new ImageError('LIMIT_EXCEEDED', `${what} ${maximum}`, { limit, maximum });
}
