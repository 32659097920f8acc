import { isAcIdentifier } from '../image/ac-identifier.ts';
import { isImageId } from '../image/image-id.ts';
import { matchLabels } from '../image/labels.ts';
import { show } from '../image/show.ts';
import { digestOf } from '../registry/download-blob.ts';
import type { SignedArchive, Store, StoredImage } from '../store/store.ts';
import { type Answer, type Asked, refusal, select } from './answer.ts';
import type { Blobs } from './blobs.ts';

/** Where archives are: in the place of names the client puts what it wants. `latest` stands for no version. */
const template = '/aci/{os}/{arch}/{version}/{name}.{ext}';
/** Where an archive is for whoever knows exactly which one it wants: others may have the same image packed otherwise. */
const exactForm = /^(?<id>[^/]+)\/(?<digest>[^/]+?)\.(?<ext>aci|aci\.asc)$/;
const archiveForm = /^(?<os>[^/]+)\/(?<arch>[^/]+)\/(?<version>[^/]+)\/(?<name>.+)\.(?<ext>aci|aci\.asc)$/;

/**
 * The page of an image name, which says where its archives are. There is one for names of images whose archives were kept; a client looks
 * at the pages of other names, and of other servers, otherwise.
 *
 * @param asked - `path` is the name, with its host or without: then it is the host of the request.
 * @see appc spec, discovery.md (Meta Discovery)
 */
export async function answerDiscovery(store: Store, asked: Asked): Promise<Answer> {
  const { path, query, headers, origin } = asked;
  if (query.get('ac-discovery') !== '1') return refusal(404, 'UNSUPPORTED', 'there is nothing at this path');
  const host = (headers.host ?? '').replace(/:\d+$/, '');
  for (const name of [path, `${host}/${path}`]) {
    if (!isAcIdentifier(name)) continue;
    const images = await store.imagesNamed(name);
    if (!images.some(({ archive }) => archive)) continue;
    const tag = `<meta name="ac-discovery" content="${name} ${origin}${template}">`;
    const body = `<!DOCTYPE html>\n<html><head><title>${name}</title>\n${tag}\n</head><body></body></html>\n`;
    return { kind: 'discovery', status: 200, headers: { 'content-type': 'text/html; charset=utf-8' }, body };
  }
  return refusal(404, 'NAME_UNKNOWN', `the store has kept no archive of ${show(path)}`);
}

/** An archive as it was transferred, or its signature. @param asked - `path` is below `/aci/`. */
export async function answerArchive(blobs: Blobs, store: Store, asked: Asked): Promise<Answer> {
  const exact = exactForm.exec(asked.path)?.groups;
  const { ext = '', ...wanted } = exact ?? archiveForm.exec(asked.path)?.groups ?? {};
  const archive = exact ? await findExact(store, wanted) : await findNamed(store, wanted);
  if (!archive) return refusal(404, 'NAME_UNKNOWN', `the store has kept no archive of ${show(asked.path)}`);
  if (ext === 'aci.asc') return answerSignature(archive, asked);
  const about = { kind: 'archive', headers: {} } as const;
  const answer = await blobs.answer(store, archive, asked, about);
  return answer ?? refusal(404, 'BLOB_UNKNOWN', `the file of ${archive.digest} is missing or damaged in the store`);
}

type Groups = Readonly<Record<string, string>>;

async function findExact(store: Store, { id = '', digest = '' }: Groups): Promise<SignedArchive | undefined> {
  const archive = isImageId(id) ? await store.archiveOf(id) : undefined;
  return archive?.digest === digest ? archive : undefined;
}

async function findNamed(
  store: Store,
  { name = '', os = '', arch = '', version = '' }: Groups,
): Promise<SignedArchive | undefined> {
  const image = isAcIdentifier(name) ? await findImage(store, name, { os, arch, version }) : undefined;
  return image && (await store.archiveOf(image.imageId));
}

type Wanted = { readonly os: string; readonly arch: string; readonly version: string };

/** The best image of which the archive is kept: the latest, then the one that came last. */
async function findImage(store: Store, name: string, { os, arch, version }: Wanted): Promise<StoredImage | undefined> {
  const kept = (await store.imagesNamed(name)).filter(
    ({ archive, labels }) => archive && (labels.get('os') ?? os) === os && (labels.get('arch') ?? arch) === arch,
  );
  const exact = kept.find(({ labels }) => matchLabels(new Map([['version', version]]), labels));
  return exact ?? (version === 'latest' ? kept[0] : undefined);
}

/** Any of them is about the archive as it is served. */
function answerSignature({ signatures: [signature], digest }: SignedArchive, { headers }: Asked): Answer {
  if (!signature) return refusal(404, 'BLOB_UNKNOWN', `the store has no signature of ${digest}`);
  const { bytes } = signature;
  const etag = `"${digestOf(bytes)}"`;
  const { status } = select({ 'if-none-match': headers['if-none-match'] }, etag, bytes.byteLength);
  if (status === 304) return { kind: 'archive', status, headers: { etag } };
  return { kind: 'archive', status: 200, headers: { etag, 'content-type': 'application/pgp-signature' }, body: bytes };
}
