import type { KeyKind, VerifyImageRequest, VerifySignatureResponse } from '../../workers/tasks.ts';
import type { ImageError } from '../errors.ts';
import type { Proof } from '../image/proof.ts';

/** What was found of an image of a registry that may prove who signed it. */
export type RegistryEvidence = Pick<
  VerifyImageRequest,
  'evidence' | 'messageBytes' | 'reference' | 'digests' | 'documents'
>;

/** Who has signed an image of a registry, with what proves it. */
export type RegistryVerification = VerifySignatureResponse & {
  /** Those of `signedBy` whose signatures count without a policy too, if their keys are trusted. */
  readonly verifiedBy: readonly string[];
  readonly proofs: readonly Proof[];
  /** Of the first good signature; undefined if a policy accepts the image unsigned. */
  readonly location: string | undefined;
};

/** A signature that an image of a registry needs. */
export type Demand = {
  /** The kinds of keys, one of which must have made it. */
  readonly kinds: ReadonlySet<KeyKind>;
  /** One good signature is enough. @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED */
  verify(found: RegistryEvidence): Promise<RegistryVerification>;
  /** The error for an image that does not meet it. */
  refuse(why: ImageError): ImageError;
};

/** What an image of a registry needs: signatures, all of them; or nothing, since a policy accepts it as it is. */
export type Needs =
  | { readonly demands: readonly Demand[] }
  | { readonly accepts: (covers: string) => RegistryVerification };
