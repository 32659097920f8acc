const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/**
 * Limits of everything that comes from outside, in bytes, counts and milliseconds. @see docs/rules.md A3, S8, H6, D6,
 * R4
 */
export type Limits = {
  /** Bytes of an image manifest. */
  readonly manifest: number;
  /** Bytes of one pax or GNU long-name header. */
  readonly header: number;
  /** Bytes of a signature file. */
  readonly signature: number;
  /** Signatures in one file. */
  readonly signatures: number;
  /** Bytes of a key file. */
  readonly key: number;
  /** Bytes of a discovery page. */
  readonly page: number;
  /** Endpoints tried for one name. */
  readonly endpoints: number;
  readonly registryManifest: number;
  readonly registryConfig: number;
  readonly token: number;
  readonly layers: number;
  readonly indexDepth: number;
  /** Bytes of an archive as transferred. */
  readonly archive: number;
  /** Bytes of an uncompressed image. */
  readonly unpacked: number;
  /** Entries of an archive. */
  readonly entries: number;
  /** Bytes of one path in an archive. */
  readonly path: number;
  /** Dependencies of one image. */
  readonly dependencies: number;
  /** Levels of dependencies. */
  readonly depth: number;
  /** Nodes of a batch. */
  readonly nodes: number;
  readonly redirects: number;
  /** Milliseconds that a server may ask us to wait. */
  readonly retryAfter: number;
};

export const defaultLimits: Limits = Object.freeze({
  manifest: MiB,
  header: MiB,
  signature: MiB,
  signatures: 64,
  key: MiB,
  page: MiB,
  endpoints: 8,
  registryManifest: 4 * MiB,
  registryConfig: 4 * MiB,
  token: 64 * KiB,
  layers: 512,
  indexDepth: 3,
  archive: 16 * GiB,
  unpacked: 64 * GiB,
  entries: 1_000_000,
  path: 4096,
  dependencies: 256,
  depth: 64,
  nodes: 100_000,
  redirects: 10,
  retryAfter: 5 * 60_000,
});

/** All in milliseconds. @see docs/rules.md H10 */
export type Timeouts = {
  readonly connect: number;
  readonly headers: number;
  /** Time without a byte of the body. */
  readonly stall: number;
};

export const defaultTimeouts: Timeouts = Object.freeze({ connect: 30_000, headers: 60_000, stall: 60_000 });
