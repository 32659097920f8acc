import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import { type Labels, sortLabels } from '../image/labels.ts';
import { defaultLimits } from '../image/limits.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { Proof } from '../image/proof.ts';

/** The value of the member `schema` of the document. @see docs/bundle.md */
export const bundleSchema = 'longshore.bundle/1';

/** The most images of registries, and the most archives, that a bundle has. */
export const maxImages = defaultLimits.nodes;

/** The most bytes that the document of a bundle has. */
export const maxBundleBytes = 64 * 1024 * 1024;

/** Where the document about a bundle is in it. */
export const bundleDocument = 'longshore/bundle.json';

/** A manifest, an index, a configuration, a layer, or an archive as it was transferred. */
export function blobFile(digest: Digest): string {
  return `blobs/sha256/${digest.slice('sha256:'.length)}`;
}

/** The uncompressed tar of an archive. It is not among `blobs`, since other programs expect no such names there. */
export function tarFile(imageId: ImageId): string {
  return `longshore/blobs/sha512/${imageId.slice('sha512-'.length)}`;
}

/** The bytes of a proof. @param digest - of these bytes. */
export function proofFile(digest: Digest): string {
  return `longshore/proofs/sha256/${digest.slice('sha256:'.length)}`;
}

/** What `longshore/bundle.json` says. */
export type Bundle = {
  readonly archives: readonly BundledArchive[];
  readonly images: readonly BundledImage[];
  /**
   * What the images need and the bundle does not have, since the other side has it: blobs by digest, uncompressed tars of archives by
   * image ID.
   */
  readonly leftOut: readonly (Digest | ImageId)[];
};

/** Facts of an image that only the store where it was fetched knows. */
type Provenance = {
  /** Where it was fetched from, without credentials and query. */
  readonly source: string;
  /** Whether it was asked for without a version. */
  readonly latest: boolean;
  readonly proofs: readonly BundledProof[];
};

/**
 * An archive (ACI). A bundle has it in one form: as it was transferred, if the store has kept that, so that its signature can be
 * verified again; otherwise as the uncompressed tar.
 */
export type BundledArchive = Provenance & {
  readonly imageId: ImageId;
  /** As its manifest has them. */
  readonly name: string;
  readonly labels: Labels;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  /** Of the archive as it was transferred. */
  readonly digest: Digest;
  /** Bytes of the archive as it was transferred, if the bundle has that: `blobFile(digest)`. Otherwise it has `tarFile(imageId)`. */
  readonly transferred?: number;
};

/** A manifest or an index. */
type BundledDescriptor = { readonly mediaType: string; readonly digest: Digest; readonly size: number };

/** A manifest that is attached to an image, such as a signature. */
type BundledReferrer = BundledDescriptor & {
  readonly artifactType: string;
  readonly subject: Digest;
  /** Where a tag of the repository is how it is found. */
  readonly tag?: string;
};

/** An image of a registry. */
export type BundledImage = Provenance & {
  /** Complete and normalised, without a scheme: `docker.io/library/busybox:1`. */
  readonly reference: string;
  /** As the registry served it. An index, if `platforms` are given. */
  readonly manifest: BundledDescriptor;
  /** The platforms of an index of which everything is there. Then `platform` has no names. */
  readonly platforms?: readonly GoPlatform[];
  readonly platform: GoPlatform;
  /** The index that it was chosen from. The bundle has this document, but not what else it names: signatures may be about it. */
  readonly index?: BundledDescriptor;
  /** The manifest or the index that index.json names in the place of one in the format of docker, with the same blobs. */
  readonly oci?: BundledDescriptor;
  readonly referrers: readonly BundledReferrer[];
};

/** What proved who signed an image, without its bytes, which are in `proofFile(digest)`. The receiver judges it again. */
export type BundledProof = {
  readonly digest: Digest;
  readonly size: number;
  /** Of the archive as it was transferred, or of the manifest or the index that the statement is about. */
  readonly covers: Digest;
  /** Who signed, as the sender saw it. It proves nothing. */
  readonly signedBy: readonly string[];
} & (
  | { readonly kind: 'openpgp' | 'simple-signing' | 'sigstore-bundle' }
  | {
      readonly kind: 'cosign-key' | 'cosign-certificate';
      /** As in the annotations of cosign. */
      readonly signature: string;
      readonly certificate?: string;
      readonly chain?: string;
      readonly logEntry?: string;
      readonly timestamp?: string;
    }
);

/** A proof of the store as a bundle has it. @returns undefined for one that is no signature, which stays where its policy is */
export function toBundledProof(proof: Proof, digest: Digest): BundledProof | undefined {
  const about = { digest, size: proof.bytes.byteLength, covers: proof.covers as Digest, signedBy: proof.signedBy };
  switch (proof.kind) {
    case 'openpgp':
    case 'simple-signing':
    case 'sigstore-bundle':
      return { kind: proof.kind, ...about };
    case 'cosign-key':
    case 'cosign-certificate': {
      const { kind, signature, logEntry, timestamp } = proof;
      return {
        ...{ kind, ...about, signature },
        ...(proof.kind === 'cosign-certificate' && { certificate: proof.certificate }),
        ...(proof.kind === 'cosign-certificate' && proof.chain !== undefined && { chain: proof.chain }),
        ...(logEntry !== undefined && { logEntry }),
        ...(timestamp !== undefined && { timestamp }),
      };
    }
    case 'policy':
      return undefined;
  }
}

/** Formats the document. It is sorted, so that the same images make the same bytes. */
export function formatBundle({ archives, images, leftOut }: Bundle): string {
  const document = {
    schema: bundleSchema,
    archives: archives.toSorted(by(({ imageId }) => imageId)).map(formatArchive),
    images: images.toSorted(by(({ reference }) => reference)).map(formatImage),
    ...(leftOut.length > 0 && { leftOut: leftOut.toSorted() }),
  };
  return `${JSON.stringify(document)}\n`;
}

function formatArchive({ imageId, name, labels, size, digest, transferred, ...rest }: BundledArchive): object {
  const named = { imageID: imageId, name, labels: Object.fromEntries(sortLabels(labels)) };
  return { ...named, size, digest, ...(transferred !== undefined && { transferred }), ...formatProvenance(rest) };
}

function formatImage(image: BundledImage): object {
  const { reference, manifest, platforms, platform, index, oci, referrers } = image;
  return {
    ...{
      reference,
      manifest: formatDescriptor(manifest),
      ...(platforms ? { platforms: platforms.map(formatPlatform) } : { platform: formatPlatform(platform) }),
    },
    ...(index && { index: formatDescriptor(index) }),
    ...(oci && { oci: formatDescriptor(oci) }),
    ...(referrers.length > 0 && { referrers: referrers.toSorted(by(({ digest }) => digest)).map(formatReferrer) }),
    ...formatProvenance(image),
  };
}

function formatDescriptor({ mediaType, digest, size }: BundledDescriptor): object {
  return { mediaType, digest, size };
}

function formatReferrer({ artifactType, subject, tag, ...descriptor }: BundledReferrer): object {
  return { ...formatDescriptor(descriptor), artifactType, subject, ...(tag !== undefined && { tag }) };
}

function formatPlatform({ os, architecture, variant }: GoPlatform): object {
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

function formatProvenance({ source, latest, proofs }: Provenance): object {
  return {
    source,
    ...(latest && { latest }),
    ...(proofs.length > 0 && {
      proofs: proofs.toSorted(by(({ digest, covers }) => `${digest} ${covers}`)).map(formatProof),
    }),
  };
}

function formatProof(proof: BundledProof): object {
  const { kind, digest, size, covers, signedBy } = proof;
  const about = { kind, digest, size, covers, signedBy };
  if (!('signature' in proof)) return about;
  const { signature, certificate, chain, logEntry, timestamp } = proof;
  return { ...about, signature, certificate, chain, logEntry, timestamp }; // JSON has no undefined members
}

/** Compares texts by their UTF-16 units, which does not depend on the locale. */
function by<T>(text: (one: T) => string): (a: T, b: T) => number {
  return (a, b) => (text(a) < text(b) ? -1 : Number(text(a) > text(b)));
}
