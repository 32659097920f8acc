import type { KeyKind, TrustedKey, TrustedRootFile } from '../../workers/tasks.ts';
import type { Identity } from '../image/sigstore/identity.ts';

/** A key file of the keystore. */
export type KeyFile = {
  /** The fingerprint of the primary key, of a public key, or of a rule of identities, in lower-case hex; the name of the file. */
  readonly fingerprint: string;
  /** The prefix of image names, or of repositories, that the key is trusted for; absent for root keys, which are trusted for every name. */
  readonly prefix?: string;
  /** The index into the keystore's directories: 0 is the system's. */
  readonly layer: number;
  readonly path: string;
  /** True for an empty file, which masks the key with this fingerprint in earlier layers. */
  readonly masked: boolean;
  /** Of a rule: whether it allows an identity. */
  readonly allows?: (identity: Identity) => boolean;
};

/** The trusted keys for one image name. */
export type Keyring = {
  /**
   * In the order of the layers. Of several files for one fingerprint, the last valid one is used. `fingerprint` is the name of the
   * file; a user of the certificate must check that it is that of the certificate.
   */
  readonly keys: readonly (TrustedKey & { readonly kind: KeyKind })[];
  /** The prefixes that were searched, for messages; `root` means the root keys. */
  readonly searched: readonly string[];
};

export type KeystoreOptions = {
  /** The layers: absolute paths, each with `trustedkeys/{root.d,prefix.d}`. Later layers add keys to earlier ones and mask them. */
  readonly dirs: readonly string[];
  /** The file of the trusted root of sigstore, instead of `trustedkeys/trusted_root.json` of the layers. */
  readonly trustedRoot?: string | undefined;
  /** Called once for every skipped file. */
  readonly onWarning?: (message: string) => void;
};

/** Everything is CLOSED once it is closed. */
export type Keystore = AsyncDisposable & {
  readonly dirs: readonly string[];
  keyring(name: string): Promise<Keyring>;
  /** The keyring that all names have; undefined if there are prefixes with keys of their own. */
  commonKeyring(): Promise<Keyring | undefined>;
  /** Whether a key of OpenPGP is trusted for the name by its prefix. Root keys and masked keys do not count. */
  hasPrefixKey(name: string): Promise<boolean>;
  /** What certificates, log entries and time stamps of sigstore are judged by; that of the last layer that has one. */
  trustedRoot(): Promise<TrustedRootFile | undefined>;
  /** Whether one of these signers is trusted for the name: fingerprints of keys, or identities. Certificates are not parsed. */
  trusts(name: string, signers: readonly string[]): Promise<boolean>;
  /** As trusts, from what was read a moment ago; undefined if something has to be read, and once it is closed. */
  trustsAtOnce(name: string, signers: readonly string[]): boolean | undefined;
  list(): Promise<readonly KeyFile[]>;
  /** Warns once of a file that contains no key, or another key. */
  skip(path: string, why: string): void;
  /** Stores a certificate under its fingerprint. @returns the file's path. */
  add(key: {
    readonly certificate: Uint8Array;
    readonly fingerprint: string;
    readonly prefix?: string;
    readonly layer: number;
  }): Promise<string>;
  /** Removes the key from the layers that can be written, and masks it if another layer still has it. @returns false if it was not there */
  remove(key: { readonly fingerprint: string; readonly prefix?: string; readonly layer: number }): Promise<boolean>;
  close(): Promise<void>;
};
