import type { PlanOutcome, PlanTotals } from './coordinator/plan-batch.ts';
import type { OfferedKey } from './discovery/discover.ts';
import type { EventSink, Outcome, Totals } from './events.ts';
import type { ArchivePeerLookup, ImageLock, PullPolicy, Sharing } from './fetchers/context.ts';
import type { Transport } from './http/contract.ts';
import type { App, ImageType, Keep } from './image/apps.ts';
import type { Digest } from './image/digest.ts';
import type { ImageId } from './image/image-id.ts';
import type { Limits, Timeouts } from './image/limits.ts';
import type { ImportSource } from './import/receive.ts';
import type { Pool } from './pool/pool.ts';
import type { HostCertificates } from './registry/certificates.ts';
import type { Lookasides } from './registry/lookaside.ts';
import type { CredentialLookup, MirrorRule, PeerLookup } from './registry/types.ts';
import type { Store } from './store/store.ts';
import type { Keystore } from './verify/keystore.ts';
import type { OpenPolicy } from './verify/policy/policy.ts';

/**
 * Checks that are lifted. Each makes something possible that somebody in the
 * network, or whoever runs a server, could misuse.
 */
export type Insecure = {
  /** Signatures are not looked at. Names and labels are checked all the same. */
  readonly image?: boolean | undefined;
  /** Certificates of servers are not checked. */
  readonly tls?: boolean | undefined;
  /** http is used where https does not work. */
  readonly http?: boolean | undefined;
  /** With `tls`, keys are trusted over https all the same. */
  readonly pubkey?: boolean | undefined;
  /** Signatures by weak keys count: RSA below 2048 bits, DSA, SHA-1. */
  readonly weakKeys?: boolean | undefined;
};

/** How images are fetched. A member that is undefined counts as absent. */
export type FetchSettings = {
  /** Request headers by `host[:port]`, sent to exactly that host and only over https. */
  readonly headers?: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined;
  /** User and password by registry, as references name it: `docker.io`, `host[:port]`. */
  readonly dockerCredentials?:
    | Readonly<Record<string, { readonly user: string; readonly password: string }>>
    | undefined;
  /** Checks that are lifted. Default: none. */
  readonly insecure?: Insecure | undefined;
  /** Trusts a key that discovery offers over https for a name that has no key yet. Default false. */
  readonly trustKeysFromHTTPS?: boolean | undefined;
  /** Uses the store only, as pullPolicy `never`. Default false. */
  readonly storeOnly?: boolean | undefined;
  /** Fetches again what the store has, as pullPolicy `update`. Default false. */
  readonly noStore?: boolean | undefined;
  /** Ignores what the store remembers of URLs: each is asked again, unconditionally. Default false. */
  readonly noCache?: boolean | undefined;
  /**
   * Whether the archive of an image is kept as it was transferred too, beside its signature, so that others can be given it with
   * that. An image that the store has without it is fetched again. Default false.
   */
  readonly keepArchives?: boolean | undefined;
  /** Whether dependencies are fetched too. Default true. */
  readonly withDeps?: boolean | undefined;
  /**
   * When the network is asked: `new` (default) if the store does not have the image, `update` always, `never`. A tag or a
   * version that moves is seen with `update` only.
   */
  readonly pullPolicy?: PullPolicy | undefined;
  /**
   * How long what a server answered about a name is used again, in milliseconds: the digest of a tag, the endpoints of a name.
   * Default 300 000, at most a week; 0 for never. Only with pullPolicy `new`, and not while a lock is written.
   */
  readonly resolveMaxAgeMs?: number | undefined;
  /**
   * What is kept of a registry image: `aci`, an archive made of it, `oci`, its own blobs, or `both` (default). With the platform `all`
   * only `oci` is possible, and the default.
   */
  readonly keep?: Keep | undefined;
  /**
   * The platforms of registry images to fetch: `os/arch[/variant]`, or `all` alone for the whole index with everything in it. Of several
   * the ID is the digest of the index. Default: linux on this processor.
   */
  readonly platform?: readonly string[] | undefined;
  /**
   * Whether what is attached to images of registries is kept with them: signatures, attestations and lists of their parts. Default false.
   * Not with keep `aci`.
   */
  readonly referrers?: boolean | undefined;
  /** Mirrors of registries, and registries that must not be asked. */
  readonly mirrors?: readonly MirrorRule[] | undefined;
  /** Gives credentials for a registry or a mirror that dockerCredentials does not have. It may be asked often. */
  readonly registryCredentials?: CredentialLookup | undefined;
  /** Where signatures of registry images are read. Default: nowhere, so that none of them verifies. */
  readonly lookasides?: Lookasides | undefined;
  /** Certificates by `host[:port]`, in addition to `ca`. */
  readonly certificates?: ReadonlyMap<string, HostCertificates> | undefined;
  /** Transfers at the same time. `auto` (default): as many as memory, open files and processors allow, from 16 to 64 where they do. */
  readonly jobs?: number | 'auto' | undefined;
  /**
   * Transfers at the same time from one host. `auto` (default): 4 at first, and up to 16 as long as that brings throughput. With a
   * number, at most so many. Either way there are fewer while the host refuses some or gets slow.
   */
  readonly jobsPerHost?: number | 'auto' | undefined;
  /** Threads that hash, decompress and verify. Default: as many as processors that this process may use. */
  readonly workers?: number | undefined;
  /** Tries of a request after the first. Default 4. */
  readonly retries?: number | undefined;
  /** Limits of what comes from outside. A member that is left out has its default. */
  readonly limits?: { readonly [N in keyof Limits]?: number | undefined } | undefined;
  /** Timeouts of requests, in milliseconds. A member that is left out has its default. */
  readonly timeouts?: { readonly [N in keyof Timeouts]?: number | undefined } | undefined;
  /** Bytes a second that all transfers together may use. Default: no limit. */
  readonly limitRate?: number | undefined;
  /** Bytes a second by `host[:port]`, for all transfers from it or by way of it together. `limitRate` holds too. */
  readonly limitRates?: Readonly<Record<string, number>> | undefined;
  /** Bytes a second that a transfer must reach, or else it counts as stalled. Default: none. */
  readonly minRate?: number | undefined;
  /** Cancels the rest of a batch at its first failure. Default false. */
  readonly failFast?: boolean | undefined;
  /** Names below `prefix` are discovered at `origin`, an http(s) URL without a path, and not at the host they begin with. */
  readonly discover?: readonly { readonly prefix: string; readonly origin: string }[] | undefined;
  /** Certificate authorities in addition to those of Node: PEM texts. */
  readonly ca?: readonly string[] | undefined;
  /** Connects elsewhere: `HOST:PORT:ADDRESS:PORT`, as --connect-to of curl. */
  readonly connectTo?: readonly string[] | undefined;
  /** Networks that must not be connected to: CIDR blocks. Addresses are checked after they are resolved. */
  readonly denyNet?: readonly string[] | undefined;
  /** Proxies that requests go through. Default: none; the environment is not read. */
  readonly proxy?: ProxyOptions | undefined;
  /**
   * Receives what happens in batches; of a plan warnings, waits and retries only. What it throws, or rejects with, ends the
   * batch with that error; a promise that it returns is awaited. A warning that is about no single batch ends all that run.
   */
  readonly onEvent?: EventSink | undefined;
  /**
   * Performs the HTTP exchanges instead of the built-in client. It decides itself where it connects to and whom it trusts: `ca`,
   * `certificates`, `connectTo`, `denyNet` and `proxy` together with it are refused with USAGE, and `insecure.tls` does not reach it.
   */
  readonly transport?: Transport | undefined;
};

/** What a fetcher or a finder works with, and how. */
export type ActionOptions = FetchSettings & {
  readonly store: Store;
  readonly keystore?: Keystore | undefined;
  readonly policy?: OpenPolicy | undefined;
  readonly pool?: Pool | undefined;
  readonly peers?: PeerLookup | undefined;
  readonly archivePeers?: ArchivePeerLookup | undefined;
  /** What the threads run, as a URL, where no pool is given; default our own. */
  readonly workerFile?: string | undefined;
};

/** Proxies by scheme of the URL that is asked for: `http://`, `https://` or `socks5h://` URLs, with user and password if need be. */
export type ProxyOptions = {
  /** For http:// URLs. */
  readonly http?: string | undefined;
  /** For https:// URLs. */
  readonly https?: string | undefined;
  /** For schemes without a proxy of their own. */
  readonly all?: string | undefined;
  /** Hosts that are asked directly, as the variable NO_PROXY lists them. */
  readonly noProxy?: string | undefined;
};

/** The options for the use of the network. */
export type NetworkOptions = Pick<
  ActionOptions,
  | 'headers'
  | 'insecure'
  | 'retries'
  | 'limits'
  | 'timeouts'
  | 'limitRate'
  | 'limitRates'
  | 'minRate'
  | 'discover'
  | 'ca'
  | 'certificates'
  | 'mirrors'
  | 'connectTo'
  | 'denyNet'
  | 'proxy'
  | 'transport'
>;

/** Finds and downloads signing keys. */
export type KeyFinder = AsyncDisposable & {
  /** The keys that discovery finds for a prefix of image names, each once. @throws DISCOVERY_FAILED */
  findKeys(prefix: string, signal: AbortSignal): Promise<readonly OfferedKey[]>;
  /** The bytes of a key. @throws INSECURE_REFUSED for http if it is not allowed, LIMIT_EXCEEDED, network errors */
  getKey(url: string, signal: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
};

/** What findImage and fetchImage may be given. */
export type FetchCall = {
  /** The path of a detached signature, which is used instead of the one beside the image; relative to the working directory. */
  readonly signature?: string | undefined;
  /** How the image is read, if that is not to be guessed. Default `guess`. */
  readonly type?: ImageType | undefined;
  /** Stops the call, which then rejects with CANCELLED. What has been downloaded is kept for a later call. */
  readonly signal?: AbortSignal | undefined;
};

/** What findImages returns. */
export type BatchResult = {
  /** One for each request, in the order of the requests. Those of dependencies are passed to `onOutcome` only. */
  readonly outcomes: readonly Outcome[];
  /** Counts of the whole batch, with dependencies. */
  readonly totals: Totals;
};

export type Fetcher = AsyncDisposable & {
  /** Fetches an image from the network or a file into the store. @returns the ID, as findImage. @throws ImageError */
  fetchImage(image: string, call?: FetchCall): Promise<ImageId | Digest>;
  close(): Promise<void>;
};

/** What findImages may be given. */
export type BatchCall = {
  /** Stops the batch: what has not ended has the outcome `cancelled`, and the call resolves. Downloads are kept for a later call. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The images that references must resolve to: they are fetched by digest or from the URL that it has, and fail with LOCK_MISMATCH if
   * another image comes.
   */
  readonly lock?: ImageLock | undefined;
  /**
   * Called with the outcome of each request and each dependency as soon as it is known, in any order. What it throws, or
   * rejects with, ends the batch with that error; a promise that it returns is awaited.
   */
  readonly onOutcome?: ((outcome: Outcome) => unknown) | undefined;
};

/** What a batch may be given that shares its work with other processes. */
export type SharedBatchCall = BatchCall & { readonly sharing?: Sharing | undefined };

/** What importImages may be given. */
export type ImportCall = {
  /** References, names or IDs of the images that are wanted. Default: all. */
  readonly images?: readonly string[] | undefined;
  /** The name of images for which the archive has only a tag, or nothing: `example.com/app`. */
  readonly as?: string | undefined;
  /** Stops the import: what has not ended has the outcome `cancelled`, or the call rejects with CANCELLED while the archive is read. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with the outcome of each image as soon as it is known, in any order. What it throws, or rejects with, ends the batch with
   * that error; a promise that it returns is awaited.
   */
  readonly onOutcome?: ((outcome: Outcome) => unknown) | undefined;
};

/** What planImages returns. */
export type PlanResult = {
  /** One for each request, in the order of the requests. Those of dependencies are passed to `onOutcome` only. */
  readonly outcomes: readonly PlanOutcome[];
  /** Counts of the whole plan, with dependencies. */
  readonly totals: PlanTotals;
};

/** What planImages may be given. */
export type PlanCall = {
  /** Stops the plan: what is not known yet has the outcome `cancelled`, and the call resolves. */
  readonly signal?: AbortSignal | undefined;
  /** As in BatchCall. */
  readonly lock?: Pick<ImageLock, 'images' | 'frozen'> | undefined;
  /**
   * Called with the outcome of each request and each dependency, of a node after those of its dependencies. What it throws,
   * or rejects with, ends the plan with that error; a promise that it returns is awaited.
   */
  readonly onOutcome?: ((outcome: PlanOutcome) => unknown) | undefined;
};

export type Finder = AsyncDisposable & {
  /**
   * Finds an image in the store, or fetches it.
   *
   * @returns the image ID; the digest of the manifest for a registry image of which no archive is asked for.
   */
  findImage(image: string, call?: FetchCall): Promise<ImageId | Digest>;
  /** Does not reject if an image fails. Sets `app.imageID` of the apps that succeed. Outcomes are in the order of the apps. */
  findImages(apps: Iterable<App>, call?: SharedBatchCall): Promise<BatchResult>;
  /** Finds out what findImages would do. It reads the store and asks servers, but downloads and writes nothing. */
  planImages(apps: Iterable<App>, call?: PlanCall): Promise<PlanResult>;
  /** Brings the images of an archive or a layout into the store. @throws as importAll */
  importImages(source: ImportSource, call?: ImportCall): Promise<BatchResult>;
  /** The tags of a repository, `docker://HOST/NAME`, as its registry lists them. */
  listTags(repository: string, call?: { readonly signal?: AbortSignal }): Promise<readonly string[]>;
  /**
   * The digest that a reference of a registry stands for now, of an index or a manifest. Nothing is stored. With a digest in the
   * reference nobody is asked.
   */
  resolve(image: string, call?: { readonly signal?: AbortSignal }): Promise<Digest>;
  close(): Promise<void>;
};
