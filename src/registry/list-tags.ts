import { ImageError } from '../errors.ts';
import type { HttpDocument } from '../http/contract.ts';
import { headerOf } from '../http/headers.ts';
import { parseJsonStrict } from '../image/json.ts';
import { isTag } from '../image/registry-reference.ts';
import { showUrl } from '../image/show.ts';
import type { RegistryClient } from './client.ts';
import { nextPage } from './referrers.ts';

/** The most pages of a list, and the most tags. */
const maxPages = 1000;
const maxTags = 1_000_000;
const pageTags = 1000;

/**
 * The tags of a repository, as its registry or a mirror lists them, page by page.
 *
 * @throws ImageError LIMIT_EXCEEDED for a list without end, MANIFEST_INVALID for one that cannot be read or leads elsewhere, HTTP_STATUS,
 *   AUTH_REQUIRED, AUTH_DENIED, and network errors
 * @see OCI distribution-spec, Listing Tags
 */
export async function listTags(
  client: RegistryClient,
  { host, repository }: { readonly host: string; readonly repository: string },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { registryManifest } = client.options.limits;
  const tags: string[] = [];
  const asked = new Set<string>();
  let query: string | undefined = `?n=${pageTags}`;
  while (query !== undefined) {
    if (asked.has(query)) throw unreadable(`https://${host}`, 'its pages lead in a circle');
    asked.add(query);
    const path: string = `tags/list${query}`;
    const page: Page = await client.getDocument(
      { host, repository, path, namedBy: 'tag' },
      {
        limit: { name: 'registryManifest', bytes: registryManifest },
        statuses: [200],
        decodes: true,
        headers: { accept: 'application/json' },
      },
      (answer) => readPage(answer, path),
      signal,
    );
    for (const tag of page.tags) tags.push(tag);
    if (tags.length > maxTags || asked.size >= maxPages) throw tooMany(host, repository);
    query = page.next;
  }
  return tags;
}

type Page = { readonly tags: readonly string[]; readonly next: string | undefined };

/** Texts that are no tags are left out: they can be asked for by nobody. */
function readPage({ body, headers, url }: HttpDocument, path: string): Page {
  const json = parseJsonStrict(body);
  if (!json.ok || typeof json.value !== 'object' || json.value === null) throw unreadable(url, 'it is no JSON object');
  const found = 'tags' in json.value ? (json.value.tags ?? []) : []; // a repository without tags may have null
  if (!Array.isArray(found)) throw unreadable(url, 'its tags are no list');
  const tags = found.filter((tag): tag is string => typeof tag === 'string' && isTag(tag));
  return { tags, next: nextPage(headerOf(headers, 'link'), url, path) };
}

function unreadable(url: string, problem: string): ImageError<'MANIFEST_INVALID'> {
  return new ImageError('MANIFEST_INVALID', `the list of tags at ${showUrl(url)} cannot be used: ${problem}`, {
    field: 'tags',
  });
}

function tooMany(host: string, repository: string): ImageError<'LIMIT_EXCEEDED'> {
  const message = `the list of tags of ${host}/${repository} has no end: more than ${maxTags} tags or ${maxPages} pages`;
  return new ImageError('LIMIT_EXCEEDED', message, { limit: 'tags', maximum: maxTags });
}
