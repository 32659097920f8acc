import { isImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { indexTypes } from '../image/platform.ts';
import { isTag, parseRegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { Store } from '../store/store.ts';
import { type Answer, type AnswerKind, type Asked, refusal, select } from './answer.ts';
import type { Blobs } from './blobs.ts';
import { type Document, type Documents, findAttached, listReferrers } from './documents.ts';

/** What requests to the registry are answered from. */
export type RegistryContext = {
  readonly documents: Documents;
  readonly blobs: Blobs;
  /** Whether the list of repositories may be asked for. */
  readonly catalog: boolean;
};

const apiVersion = { 'docker-distribution-api-version': 'registry/2.0' };

/** The most names in one answer. */
const pageLength = 1_000;

/** `/v2/`: that this is a registry. */
export function answerBase(): Answer {
  return answerJson('base', {});
}

/** Splits a path below `/v2/`. Names may have any number of parts, so the last parts decide. */
const routes = /^(?<name>.+)\/(?:tags\/list|(?<kind>manifests|blobs|referrers)\/(?<of>[^/]+))$/;

/**
 * Answers a request below `/v2/`: a manifest, a blob, tags, or what is attached to a document.
 *
 * @see OCI distribution-spec, Endpoints
 */
export async function answerRegistry(context: RegistryContext, store: Store, asked: Asked): Promise<Answer> {
  const { name, kind = 'tags', of = '' } = routes.exec(asked.path)?.groups ?? {};
  if (name === undefined) return refusal(404, 'UNSUPPORTED', 'there is nothing at this path');
  const found = await findRepository(store, name, asked.query.get('ns'));
  if ('status' in found) return found;
  const { repository } = found;
  if (kind === 'tags') return answerTags(store, repository, name, asked);
  if (kind === 'manifests') return answerManifest(context, store, { repository, of }, asked);
  if (!isDigest(of)) return refusal(404, 'BLOB_UNKNOWN', `no digest is "${show(of)}": sha256: and 64 hex digits`);
  if (kind === 'blobs') return answerBlob(context, store, { repository, digest: of }, asked);
  return answerReferrers(context, store, { repository, digest: of }, asked);
}

type Found = { readonly repository: string } | Answer;

/**
 * The repository of the store, `host/name`, that a path stands for. A client that uses this server as a mirror names the registry in
 * the parameter `ns`, or in the path, or not at all; then it is Docker Hub, or the only registry that has such a repository here.
 *
 * @see docs/serve.md, Names
 */
async function findRepository(store: Store, path: string, registry: string | null): Promise<Found> {
  // a mirror may have the name of the registry in its path
  const isNamed = registry === null || path.startsWith(`${registry}/`);
  const parsed = parseName(isNamed ? path : `${registry}/${path}`);
  if (!parsed) return refusal(400, 'NAME_INVALID', `no repository can be named "${show(path)}"`);
  const { host, repository } = parsed;
  const named = `${host}/${repository}`;
  if (registry !== null || hasHost(path)) return { repository: named };
  if ((await store.hostsOf(repository)).includes(host)) return { repository: named };
  const hosts = await store.hostsOf(path);
  const [only, ...others] = hosts;
  if (only === undefined) return { repository: named };
  if (others.length === 0) return { repository: `${only}/${path}` };
  const message = `several registries have ${show(path)} here, ${hosts.slice(0, 8).join(', ')}: put one of them before the name`;
  return refusal(404, 'NAME_UNKNOWN', message);
}

function parseName(name: string): ReturnType<typeof parseRegistryReference> | undefined {
  if (name.split('/').includes('') || name.includes('@')) return undefined;
  try {
    return parseRegistryReference(`${name}:a`);
  } catch (error) {
    if (isImageError(error)) return undefined;
    throw error;
  }
}

function hasHost(path: string): boolean {
  const [first = '', ...rest] = path.split('/');
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
}

type Wanted = { readonly repository: string; readonly of: string };

async function answerManifest(
  { documents }: RegistryContext,
  store: Store,
  wanted: Wanted,
  { headers }: Asked,
): Promise<Answer> {
  const { of } = wanted;
  const isByDigest = isDigest(of);
  if (!isByDigest && !isTag(of)) return refusal(404, 'MANIFEST_UNKNOWN', `no tag and no digest is "${show(of)}"`);
  const candidates = isByDigest ? await byDigest(store, wanted.repository, of) : await byTag(store, wanted);
  let problem = 'the store does not have it';
  for (const digest of candidates) {
    const document = await documents.read(store, digest);
    if (!document) {
      problem = `its document ${digest} is missing, damaged or none`;
    } else if (!isByDigest && !isAccepted(document, headers.accept)) {
      problem = 'it is an index of several platforms, which the client does not accept';
    } else if (await documents.isWhole(store, document)) {
      return answerDocument(document, headers, isByDigest);
    } else {
      problem = 'a part of it is missing in the store';
    }
  }
  return refusal(404, 'MANIFEST_UNKNOWN', `${wanted.repository} ${show(of)}: ${problem}`);
}

async function byDigest(store: Store, repository: string, digest: Digest): Promise<readonly Digest[]> {
  return (await store.sizeIn(digest, repository)) === undefined ? [] : [digest];
}

/** The documents that a tag may stand for, the first that is there and accepted counts: the index, and the image chosen from it. */
async function byTag(store: Store, { repository, of }: Wanted): Promise<readonly Digest[]> {
  const image = await store.findRegistryImage(`${repository}:${of}`);
  if (image) return [...(image.index ? [image.index.digest] : []), image.manifest.digest];
  const attached = await findAttached(store, repository, of);
  return attached === undefined ? [] : [attached];
}

/** A client that does not know indexes is given the image instead. */
function isAccepted({ parsed: { kind, mediaType } }: Document, accept: string | undefined): boolean {
  if (accept === undefined || kind !== 'index') return true;
  const types = accept
    .toLowerCase()
    .split(',')
    .map((one) => one.replace(/;.*$/s, '').trim());
  return types.some((type) => type === '*/*' || type === 'application/*' || type === mediaType) || saysNothing(types);
}

/** What curl and the like send says nothing about manifests. */
function saysNothing(types: readonly string[]): boolean {
  return !types.some((type) => indexTypes.includes(type) || type.includes('manifest'));
}

function answerDocument({ digest, bytes, parsed }: Document, headers: Asked['headers'], isByDigest: boolean): Answer {
  const etag = `"${digest}"`;
  const about = { ...apiVersion, etag, 'docker-content-digest': digest, ...(!isByDigest && { vary: 'accept' }) };
  const { status } = select({ 'if-none-match': headers['if-none-match'] }, etag, bytes.byteLength);
  if (status === 304) return { kind: 'manifest', status, headers: about };
  return { kind: 'manifest', status: 200, headers: { ...about, 'content-type': parsed.mediaType }, body: bytes };
}

async function answerBlob(
  { blobs }: RegistryContext,
  store: Store,
  { repository, digest }: WantedDigest,
  asked: Asked,
): Promise<Answer> {
  const size = await store.sizeIn(digest, repository);
  if (size === undefined) return refusal(404, 'BLOB_UNKNOWN', `the store has no image of ${repository} with ${digest}`);
  const about = { kind: 'blob', headers: { ...apiVersion, 'docker-content-digest': digest } } as const;
  const answer = await blobs.answer(store, { digest, size }, asked, about);
  return answer ?? refusal(404, 'BLOB_UNKNOWN', `the file of ${digest} is missing or damaged in the store`);
}

async function answerTags(store: Store, repository: string, name: string, asked: Asked): Promise<Answer> {
  const page = pageOf(asked.query);
  if ('status' in page) return page;
  const { limit, after } = page;
  const tags = limit === 0 ? [] : await store.tagsOf(repository, { limit: limit + 1, ...after });
  if (tags.length === 0 && !(await hasImages(store, repository)))
    return refusal(404, 'NAME_UNKNOWN', `the store has no image of ${repository}`);
  const shown = tags.slice(0, limit);
  return answerJson('tags', { name, tags: shown }, linkTo(`/v2/${name}/tags/list`, asked, { limit, shown, all: tags }));
}

async function hasImages(store: Store, repository: string): Promise<boolean> {
  const [host = '', ...rest] = repository.split('/');
  return (await store.hostsOf(rest.join('/'))).includes(host);
}

/** `/v2/_catalog`: the repositories, with their registries, as they may be asked for. */
export async function answerCatalog({ catalog }: RegistryContext, store: Store, asked: Asked): Promise<Answer> {
  if (!catalog) return refusal(404, 'UNSUPPORTED', 'this server does not list its repositories: it needs --catalog');
  const page = pageOf(asked.query);
  if ('status' in page) return page;
  const { limit, after } = page;
  const repositories = limit === 0 ? [] : await store.repositories({ limit: limit + 1, ...after });
  const shown = repositories.slice(0, limit);
  return answerJson(
    'catalog',
    { repositories: shown },
    linkTo('/v2/_catalog', asked, { limit, shown, all: repositories }),
  );
}

type Page = { readonly limit: number; readonly after: { readonly after?: string } };

function pageOf(query: URLSearchParams): Page | Answer {
  const [asked, last] = [query.get('n'), query.get('last')];
  if (asked !== null && !/^\d{1,9}$/.test(asked))
    return refusal(400, 'PAGINATION_NUMBER_INVALID', `n must be a number, not "${show(asked)}"`);
  const limit = Math.min(pageLength, asked === null ? pageLength : Number(asked));
  return { limit, after: last === null ? {} : { after: last } };
}

/** The link to the next page, if there is one. */
function linkTo(
  path: string,
  { query }: Asked,
  { limit, shown, all }: { readonly limit: number; readonly shown: readonly string[]; readonly all: readonly string[] },
): Readonly<Record<string, string>> {
  const last = shown.at(-1);
  if (last === undefined || all.length === shown.length) return {};
  const registry = query.get('ns');
  const next = new URLSearchParams({ n: String(limit), last, ...(registry !== null && { ns: registry }) });
  return { link: `<${path}?${next.toString()}>; rel="next"` };
}

type WantedDigest = { readonly repository: string; readonly digest: Digest };

/** A client that gets no list here asks elsewhere, or for the tag of one. */
async function answerReferrers(
  { documents }: RegistryContext,
  store: Store,
  { repository, digest }: WantedDigest,
  { query }: Asked,
): Promise<Answer> {
  const all = await listReferrers(documents, store, repository, digest);
  if (!all) return refusal(404, 'MANIFEST_UNKNOWN', `the store does not know what is attached to ${digest}`);
  const type = query.get('artifactType');
  const manifests = type === null ? all : all.filter(({ artifactType }) => artifactType === type);
  const [mediaType = ''] = indexTypes;
  const filtered = type === null ? {} : { 'oci-filters-applied': 'artifactType' };
  return answerJson(
    'referrers',
    { schemaVersion: 2, mediaType, manifests },
    { ...filtered, 'content-type': mediaType },
  );
}

function answerJson(kind: AnswerKind, value: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    kind,
    status: 200,
    headers: { ...apiVersion, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(value),
  };
}
