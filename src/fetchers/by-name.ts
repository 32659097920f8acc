import type { NameReference } from '../image/reference.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import { firstEndpoint } from './first-endpoint.ts';
import { present, type Found } from './found.ts';
import { fetchOfferedKeys } from './offered-keys.ts';
import { fetchRemote } from './remote.ts';
import { resolveName } from './resolve-name.ts';

/** An image by name: the store's, or what discovery leads to. @see image-package "Fetching by kind", docs/rules.md D */
export async function fetchByName(
  context: FetchContext,
  request: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<Found> {
  const { key, reference, signature } = request;
  const resolved = await resolveName(context, request, signal);
  if (resolved.kind === 'stored') return present(resolved.image);
  const { wanted: expected, endpoints } = resolved;
  await fetchOfferedKeys(context, key, expected.name, signal);
  const latest = !reference.labels.has('version');
  return firstEndpoint(
    context,
    { key, expected, endpoints, signature },
    (url, source) => fetchRemote(context, { key, url, signature: source, expected, latest }, signal),
    signal,
  );
}
