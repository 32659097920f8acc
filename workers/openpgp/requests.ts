/** A trusted certificate from the keystore. */
export type TrustedKey = {
  /** Lower-case hex fingerprint of the primary key; the file has this name. */
  readonly fingerprint: string;
  /** The file's content: armored or binary. */
  readonly certificate: Uint8Array;
  /** The path of the file, for messages. */
  readonly path: string;
};

export type VerifySignatureRequest = {
  readonly signature: Uint8Array;
  /** Shown in errors: a URL without query, or a path. */
  readonly location: string;
  /** From IngestResponse. If absent, the archive at `archive` is read again, since the signature arrived later. */
  readonly digests?: readonly Uint8Array[];
  readonly archive?: string;
  readonly keys: readonly TrustedKey[];
  /** The image's name and the prefixes that were searched, for KEY_UNKNOWN. */
  readonly name: string;
  readonly searched: readonly string[];
  readonly weakKeys: boolean;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly signatures: number;
};

export type VerifySignatureResponse = {
  /** Fingerprints of the primary keys that signed, at least one. */
  readonly signedBy: readonly string[];
  /** User IDs of these keys, unchecked: use show(). */
  readonly identities: readonly string[];
  /** True when it was accepted only because of `weak-keys`. */
  readonly weak: boolean;
  /** Of the signatures in the file, if the archive had to be read for them. */
  readonly digests?: readonly Uint8Array[];
  /** Key files without a key, or with a key of another fingerprint than their name. */
  readonly skipped: readonly { readonly path: string; readonly why: string }[];
};
