import { ImageError } from '../errors.ts';

/** What may prove who signed an image of a registry, as it was found. Several signatures may be in one. */
type Attached = {
  readonly bytes: Uint8Array;
} & (
  | {
      /** A signed OpenPGP message. @see containers-signature(5) */
      readonly kind: 'simple-signing';
    }
  | {
      /** `bytes` are the payload. @see cosign, SIGNATURE_SPEC.md */
      readonly kind: 'cosign-key';
      /** As in the annotation: base64. */
      readonly signature: string;
      /** As in the annotation, JSON: what a transparency log has promised. */
      readonly logEntry?: string;
      /** As in the annotation, JSON: what an authority for time stamps has signed. */
      readonly timestamp?: string;
    }
  | {
      /** As `cosign-key`, with a certificate that says whose key it is. */
      readonly kind: 'cosign-certificate';
      readonly signature: string;
      /** PEM. */
      readonly certificate: string;
      /** PEM of the certificates of who issued it, if it came with them. */
      readonly chain?: string;
      readonly logEntry?: string;
      readonly timestamp?: string;
    }
  | {
      /** `bytes` are the bundle, a JSON document. @see cosign, BUNDLE_SPEC.md */
      readonly kind: 'sigstore-bundle';
      /** Of a proof: the manifest or index, where that is signed itself and the bundle holds its digest only. */
      readonly document?: Uint8Array;
    }
);

/** Shown in errors: `location`. */
export type Evidence = Attached & { readonly location: string };

/** The detached signature of an archive, with all that is needed to verify it without the archive. */
type Detached = {
  readonly kind: 'openpgp';
  /** The signature file. */
  readonly bytes: Uint8Array;
  /** One for each signature in the file: the digest over the archive and the signed part of the signature. */
  readonly digests: readonly Uint8Array[];
};

/** A policy accepted an image of a registry that nobody has to sign. It says nothing of who made it. */
type Acceptance = {
  readonly kind: 'policy';
  /** The path of the policy and the scope in it, as JSON. */
  readonly bytes: Uint8Array;
};

/** What made an image trusted, or acceptable. */
export type Proof = (Attached | Detached | Acceptance) & {
  /** `sha256:` and hex: of the archive as transferred, or of the manifest or index that the statement is about. */
  readonly covers: string;
  /** Fingerprints of the keys that signed, or identities (sigstore/identity.ts); empty if a policy accepted it unsigned. */
  readonly signedBy: readonly string[];
  /**
   * Whether the entries of transparency logs and the time stamps that are in it were verified; absent if there are none. `unchecked`:
   * there was no trusted root. Then they prove nothing.
   */
  readonly log?: 'verified' | 'unchecked';
};

/** A good signature of an archive. */
export type ArchiveSignature = Extract<Proof, { readonly kind: 'openpgp' }>;

/** Whether a proof is what was found of an image of a registry, so that it can be judged again. */
export function isAttached(proof: Proof): proof is Extract<Proof, Attached> {
  return proof.kind !== 'openpgp' && proof.kind !== 'policy';
}

/** What a proof signs itself, which has to be at hand to judge it. */
export function documentsOf(proof: Proof): readonly Uint8Array[] {
  return proof.kind === 'sigstore-bundle' && proof.document ? [proof.document] : [];
}

/** Whether a file holds a public key in PEM, as cosign writes it. What it holds exactly only a thread finds out. */
export function isPublicKeyFile(bytes: Uint8Array): boolean {
  return /^(?:RSA )?PUBLIC KEY$/.test(pemLabel(bytes) ?? '');
}

/** What the first part of a file in PEM is, which may have some text before it; undefined for any other file. */
export function pemLabel(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 4096)).toString('latin1');
  return /(?:^|\n)[ \t]*-----BEGIN ([^-\n]+)-----/.exec(start)?.[1];
}

/** What cosign signs if nothing is added to it. */
export function usualPayload(
  { host, repository }: { readonly host: string; readonly repository: string },
  digest: string,
): Buffer {
  const registry = host === 'docker.io' ? 'index.docker.io' : host; // as cosign calls it
  const critical = {
    identity: { 'docker-reference': `${registry}/${repository}` },
    image: { 'docker-manifest-digest': digest },
    type: 'cosign container image signature',
  };
  // in memory of its own: it goes to threads
  return Buffer.from(new TextEncoder().encode(JSON.stringify({ critical, optional: null })).buffer);
}

export function tooManySignatures(maximum: number): ImageError {
  const details = { limit: 'signatures', maximum };
  return new ImageError('LIMIT_EXCEEDED', `more than ${maximum} signatures of one image`, details);
}
