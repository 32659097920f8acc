const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/**
 * Limits of everything that comes from outside, in bytes, counts and milliseconds. @see docs/rules.md A3, S8, H6, D6,
 * R4
 */
export type Limits = {
  /** Bytes of an image manifest. Default 1 MiB. */
  readonly manifest: number;
  /** Bytes of one pax or GNU long-name header. Default 1 MiB. */
  readonly header: number;
  /** Bytes of a signature file. Default 1 MiB. */
  readonly signature: number;
  /** Signatures in one file. Default 64. */
  readonly signatures: number;
  /** Bytes of a key file. Default 1 MiB. */
  readonly key: number;
  /** Bytes of a discovery page. Default 1 MiB. */
  readonly page: number;
  /** Endpoints tried for one name. Default 8. */
  readonly endpoints: number;
  /** Bytes of a manifest or an index of a registry. Default 4 MiB. */
  readonly registryManifest: number;
  /** Bytes of the configuration of a registry image. Default 4 MiB. */
  readonly registryConfig: number;
  /** Bytes of a token answer. Default 64 KiB. */
  readonly token: number;
  /** Layers of a registry image. Default 512. */
  readonly layers: number;
  /** Indexes inside each other. Default 3. */
  readonly indexDepth: number;
  /** Bytes of an archive as transferred. Default 16 GiB. */
  readonly archive: number;
  /** Bytes of an uncompressed image. Default 64 GiB. */
  readonly unpacked: number;
  /** Entries of an archive. Default 1 000 000. */
  readonly entries: number;
  /** Bytes of one path in an archive. Default 4096. */
  readonly path: number;
  /** Dependencies of one image. Default 256. */
  readonly dependencies: number;
  /** Levels of dependencies. Default 64. */
  readonly depth: number;
  /** Nodes of a batch: its requests and all that they depend on. Default 100 000. */
  readonly nodes: number;
  /** Redirects of one request. Default 10. */
  readonly redirects: number;
  /** Milliseconds that a server may ask us to wait. Default 300 000. */
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

/** How deep in each other the manifests are that are attached to an image. A repair lists as many as a fetch brings. */
export const maxReferrerDepth = 3;

/** All in milliseconds. @see docs/rules.md H10 */
export type Timeouts = {
  /** Until the connection stands. Default 30 000. */
  readonly connect: number;
  /** From the request to the headers of the answer. Default 60 000. */
  readonly headers: number;
  /** Without a byte of the body. Default 60 000. */
  readonly stall: number;
};

export const defaultTimeouts: Timeouts = Object.freeze({ connect: 30_000, headers: 60_000, stall: 60_000 });

/** All limits or timeouts: the given ones, and the defaults of those that are absent or undefined. */
export function withDefaults<T extends Readonly<Record<string, number>>>(
  defaults: T,
  given: { readonly [N in keyof T]?: number | undefined } = {},
): T {
  const present = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.freeze({ ...defaults, ...Object.fromEntries(present) });
}
