/** A certificate file of the keystore. @see rkt-surroundings K */
export type KeyFile = {
  /** Lower-case hex of the primary key; the file's name. */
  readonly fingerprint: string;
  /** The image-name prefix it is trusted for; absent for root keys, trusted for every name. */
  readonly prefix?: string;
  /** Index into the keystore's directories: 0 is the system's. */
  readonly layer: number;
  readonly path: string;
  /** True for an empty file, which masks the key of that name in earlier layers. */
  readonly masked: boolean;
};

/** The trusted keys for one image name. */
type Keyring = {
  /**
   * By layers, later ones last: of two files for one fingerprint the last that is good counts. `fingerprint` is the name
   * of the file; who uses the certificate checks that it is its own.
   */
  readonly keys: readonly { readonly fingerprint: string; readonly certificate: Uint8Array; readonly path: string }[];
  /** Prefixes that were searched, for messages; `root` stands for the root keys. */
  readonly searched: readonly string[];
};

export type KeystoreOptions = {
  /** Absolute paths, each with `trustedkeys/{root.d,prefix.d}`; later ones add to and mask earlier ones. */
  readonly dirs: readonly string[];
  /** Told once of every file that is skipped. */
  readonly onWarning?: (message: string) => void;
};

export type Keystore = AsyncDisposable & {
  readonly dirs: readonly string[];
  keyring(name: string): Promise<Keyring>;
  /** True when a key is trusted for the name by prefix: root keys do not count, masked ones neither. */
  hasPrefixKey(name: string): Promise<boolean>;
  /** Whether one of these keys is trusted for the name; certificates are not looked into. */
  trusts(name: string, fingerprints: readonly string[]): Promise<boolean>;
  list(): Promise<readonly KeyFile[]>;
  /** Warns of a file whose content turned out to be no key, or another one; once. */
  skip(path: string, why: string): void;
  /** Stores a certificate under its fingerprint. @returns the file's path. */
  add(key: {
    readonly certificate: Uint8Array;
    readonly fingerprint: string;
    readonly prefix?: string;
    readonly layer: number;
  }): Promise<string>;
  /** Removes the file from the layers that can be written, and masks it where an earlier layer still has it. */
  remove(key: { readonly fingerprint: string; readonly prefix?: string; readonly layer: number }): Promise<boolean>;
  close(): Promise<void>;
};
