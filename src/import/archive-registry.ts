import { ImageError } from '../errors.ts';
import { readDocument } from '../fetchers/registry/keep.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { indexTypes } from '../image/platform.ts';
import { show } from '../image/show.ts';
import type { RegistryClient, RegistryTarget } from '../registry/client.ts';
import type { StoredDescriptor } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';

/** A manifest that is attached to another one, as a list of a registry has it. */
export type AttachedEntry = StoredDescriptor & { readonly artifactType: string };

/** What an archive of images has, as a registry would serve it. All its files are in the store. */
export type ArchiveRegistry = {
  /** What `HOST/REPOSITORY:TAG` stands for. */
  readonly tags: ReadonlyMap<string, StoredDescriptor>;
  /** What is attached to a manifest or an index. */
  readonly attached: ReadonlyMap<Digest, readonly AttachedEntry[]>;
  /** Blobs that are not what they are named by: the digest of what is there. */
  readonly altered: ReadonlyMap<Digest, Digest>;
  /** What the store has that the archive was made for, so that it is not in the archive. */
  readonly leftOut: ReadonlySet<string>;
  /** Of the archive, for errors. */
  readonly shown: string;
};

/**
 * Answers as a registry with the images of an archive would, from the store: so images of an archive are resolved, checked and kept as those
 * of a registry are. Nothing is asked of a server.
 *
 * @param options - those of a client; nothing is sent by them.
 */
export function createArchiveClient(
  store: Store,
  { tags, attached, altered, leftOut, shown }: ArchiveRegistry,
  options: RegistryClient['options'],
): RegistryClient {
  const lacks = (digest: Digest): ImageError => missingBlob({ altered, leftOut, shown }, digest);

  const read = async (descriptor: Pick<StoredDescriptor, 'digest'> & Partial<StoredDescriptor>, maxBytes: number) => {
    const bytes = await readDocument(store, descriptor, maxBytes);
    if (!bytes) throw lacks(descriptor.digest);
    const headers = { 'content-type': descriptor.mediaType ?? '', 'docker-content-digest': descriptor.digest };
    return { status: 200, headers, body: Buffer.from(bytes) };
  };

  const list = (digest: string) => {
    const manifests = isDigest(digest) ? attached.get(digest) : undefined;
    if (!manifests) return { status: 404, headers: {}, body: Buffer.alloc(0) }; // then the tag of the digest is asked for
    const [mediaType = ''] = indexTypes;
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
    return { status: 200, headers: { 'content-type': mediaType }, body };
  };

  const answer = ({ host, repository, path }: RegistryTarget, maxBytes: number) => {
    const [kind = '', name = ''] = path.split('/');
    if (kind === 'referrers') return list(name);
    if (isDigest(name)) return read({ digest: name }, maxBytes);
    const tagged = tags.get(`${host}/${repository}:${name}`);
    if (tagged) return read(tagged, maxBytes);
    const asked = show(`docker://${host}/${repository}:${name}`, 1000);
    throw new ImageError('HTTP_STATUS', `${shown} has no ${asked}`, { url: asked, status: 404 });
  };

  const unused = (): never => {
    throw new Error('an archive of images is only read');
  };

  return {
    options,
    placesOf: () => [],
    async getDocument(target, request, accept) {
      const answered = await answer(target, request.limit.bytes);
      return accept({ ...answered, url: '' }, { place: '', isAuthorized: false });
    },
    download({ path }) {
      const [, digest = ''] = path.split('/');
      return Promise.reject(isDigest(digest) ? lacks(digest) : new Error('a blob is asked for by its digest'));
    },
    send: unused,
    repeat: unused,
  };
}

/** The error for a blob that neither the archive nor the store has. */
export function missingBlob(
  { altered, leftOut, shown }: Pick<ArchiveRegistry, 'altered' | 'shown'> & Partial<Pick<ArchiveRegistry, 'leftOut'>>,
  digest: Digest,
): ImageError {
  const found = altered.get(digest);
  if (found !== undefined) {
    const message = `${shown} has other content for the blob ${digest}, with the digest ${found}`;
    return new ImageError('DIGEST_MISMATCH', message, { asked: digest, found, of: 'archive' });
  }
  if (leftOut?.has(digest)) {
    const message = `the store does not have the blob ${digest}, which ${shown} leaves out: it was made for another store`;
    return new ImageError('NOT_IN_STORE', message, { asked: digest, of: 'other-store' });
  }
  const message = `neither ${shown} nor the store has the blob ${digest}`;
  return new ImageError('ARCHIVE_UNREADABLE', message, { path: shown });
}
