import type { Carried } from '../../workers/import/requests.ts';
import type { BundledArchive, BundledImage, BundledProof } from '../bundle/bundle.ts';
import { hasCode, ImageError } from '../errors.ts';
import type { FetchContext, OwnChoices } from '../fetchers/context.ts';
import { readDocument } from '../fetchers/registry/keep.ts';
import { kept } from '../fetchers/stored.ts';
import type { Digest } from '../image/digest.ts';
import { type Evidence, tooManySignatures } from '../image/proof.ts';
import { formatReference, type ImageReference } from '../image/reference.ts';
import { parseRegistryReference, type RegistryReference } from '../image/registry-reference.ts';
import { missingBlob } from './archive-registry.ts';

type Images = Extract<Carried, { kind: 'images' }>;

/** What a bundle is to be searched for, and how it is called in errors. */
export type BundleContext = Pick<FetchContext, 'store' | 'limits' | 'verifier'> & { readonly shown: string };

/** An image of a registry, as the store of the sender had it: the index that it was chosen from may be what was signed. */
export function bundledChoice(
  { reference: text, manifest, index, platform, platforms }: BundledImage,
  choices: OwnChoices,
): { readonly reference: RegistryReference; readonly choices: OwnChoices } {
  const reference = parseRegistryReference(text);
  const isOfOne = choices.isPlatformAsked || (platforms && choices.keep !== 'oci'); // an archive is made for one platform
  const own = isOfOne ? choices : { ...choices, platforms: ['all'] as const };
  if (platforms ?? !index) return { reference, choices: own };
  const one = choices.isPlatformAsked ? choices : { ...choices, platforms: [platform] as const, isPlatformAsked: true };
  if (reference.digest !== manifest.digest) return { reference, choices: one };
  return {
    reference: { ...reference, digest: index?.digest ?? manifest.digest },
    choices: { ...one, isFurther: true },
  };
}

/**
 * The signatures in a bundle, by the manifest or index that they are about. They are judged as if they had come from anywhere.
 *
 * @throws DIGEST_MISMATCH, ARCHIVE_UNREADABLE for one that is not there as it was
 */
export function bundledEvidence(
  { store, limits, shown }: BundleContext,
  { bundle, altered }: Images,
): (digest: Digest) => Promise<readonly Evidence[]> {
  const proofs = Map.groupBy(bundle?.images.flatMap((image) => image.proofs) ?? [], ({ covers }) => covers);
  const read = async (proof: BundledProof): Promise<readonly Evidence[]> => {
    const bytes = await readDocument(store, proof, limits.signature);
    if (!bytes) throw missingBlob({ altered, shown }, proof.digest);
    const { kind } = proof;
    switch (kind) {
      case 'openpgp':
        return []; // of an archive
      case 'simple-signing':
      case 'sigstore-bundle':
        return [{ kind, bytes, location: shown }];
      case 'cosign-key':
      case 'cosign-certificate': {
        const { signature, certificate, chain, logEntry, timestamp } = proof;
        const attached = {
          bytes,
          location: shown,
          signature,
          ...(logEntry && { logEntry }),
          ...(timestamp && { timestamp }),
        };
        return [
          certificate
            ? { kind: 'cosign-certificate', ...attached, certificate, ...(chain && { chain }) }
            : { kind: 'cosign-key', ...attached },
        ];
      }
    }
  };
  return async (digest) => {
    const unique = new Map((proofs.get(digest) ?? []).map((proof) => [JSON.stringify(proof), proof]));
    if (unique.size > limits.signatures) throw tooManySignatures(limits.signatures);
    return (await Promise.all([...unique.values()].map(read))).flat();
  };
}

/** An archive (ACI) of a bundle: in the store already, or in a file. */
export type ArchiveRequest = { readonly reference: ImageReference; readonly signature?: string };

/** What an archive of a bundle is called: its name with its labels. */
export function nameOfArchive({ name, labels }: BundledArchive): string {
  return formatReference({ kind: 'name', text: name, name, labels });
}

/**
 * Finds an archive of a bundle. Where signatures are demanded, its signature has to be there, and the archive as it was transferred, since
 * that is what was signed.
 *
 * @throws SIGNATURE_MISSING, ARCHIVE_UNREADABLE, DIGEST_MISMATCH
 */
export async function findArchive(
  context: BundleContext,
  { tars, altered }: Images,
  archive: BundledArchive,
): Promise<ArchiveRequest> {
  const { store, shown, verifier } = context;
  const { imageId, digest, latest } = archive;
  const text = nameOfArchive(archive);
  if (await isUsable(context, archive)) return { reference: { kind: 'id', text, prefix: imageId } };
  const source = archive.source.startsWith('docker://') ? shown : archive.source; // whose keys count depends on it
  const carried = { imageId, source, latest };
  if (archive.transferred !== undefined) {
    if (!(await store.hasBlob(digest, archive.transferred))) throw missingBlob({ altered, shown }, digest);
    const reference = { kind: 'file', text, path: store.digestPath(digest), carried } as const;
    return verifier ? { reference, signature: await signatureOf(context, archive, altered) } : { reference };
  }
  const tar = tars.get(imageId);
  if (!tar) {
    const message = `neither ${shown} nor the store has the image ${imageId}`;
    throw new ImageError('ARCHIVE_UNREADABLE', message, { path: shown });
  }
  if (verifier) {
    const message = `${shown} has it without the archive as it was transferred, which is what was signed: it was exported from a store that does not keep archives`;
    throw new ImageError('SIGNATURE_MISSING', message, { location: shown, of: 'bundle' });
  }
  return { reference: { kind: 'file', text, path: store.digestPath(tar.digest), carried } };
}

/** Whether the store has the image as whoever asks now needs it. */
async function isUsable({ store, verifier }: BundleContext, { imageId }: BundledArchive): Promise<boolean> {
  const image = await store.getImage(imageId);
  if (!image || (await store.blobState(imageId)) !== 'intact') return false;
  return (await verifier?.signerFault(image, image.name, kept({ store }, imageId))) === undefined;
}

/** The path of the first signature file that names a trusted key, or else of the first one: then that is refused. */
async function signatureOf(
  { store, limits, verifier, shown }: BundleContext,
  { name, digest, proofs }: BundledArchive,
  altered: Images['altered'],
): Promise<string> {
  const [first, ...others] = proofs.filter(({ kind, covers }) => kind === 'openpgp' && covers === digest);
  if (!first)
    throw new ImageError('SIGNATURE_MISSING', `there is no signature of the image in ${shown}`, {
      ...{ location: shown, of: 'bundle' },
    });
  for (const proof of others.length > 0 ? [first, ...others] : []) {
    const signature = await readDocument(store, proof, limits.signature);
    if (!signature) continue;
    const isKnown = await verifier?.checkSigners({ name, signature, location: shown }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ImageError && !hasCode(error, 'INTERNAL')) return false;
        throw error;
      },
    );
    if (isKnown) return store.digestPath(proof.digest);
  }
  if (!(await store.hasBlob(first.digest, first.size))) throw missingBlob({ altered, shown }, first.digest);
  return store.digestPath(first.digest);
}
