import type { PlanOutcome, PlanTotals } from './coordinator/plan-batch.ts';
import type { EventSink, Outcome, Totals } from './events.ts';
import type { ImageLock, Keep, PullPolicy } from './fetchers/context.ts';
import type { Transport } from './http/contract.ts';
import type { App, ImageType } from './image/apps.ts';
import type { Digest } from './image/digest.ts';
import type { ImageId } from './image/image-id.ts';
import type { Limits, Timeouts } from './image/limits.ts';
import type { Pool } from './pool/pool.ts';
import type { HostCertificates } from './registry/certificates.ts';
import type { Lookasides } from './registry/lookaside.ts';
import type { CredentialLookup, MirrorRule } from './registry/types.ts';
import type { Store } from './store/store.ts';
import type { Keystore } from './verify/keystore.ts';

/** Checks that are switched off. `image` is the check of signatures; name and labels are still checked. */
export type Insecure = {
  readonly image?: boolean;
  readonly tls?: boolean;
  readonly http?: boolean;
  /** Keys are accepted over https although `tls` is switched off. */
  readonly pubkey?: boolean;
  readonly weakKeys?: boolean;
};

export type ActionOptions = {
  readonly store: Store;
  /** If absent, nothing is verified, as in rkt. */
  readonly keystore?: Keystore;
  /** Request headers by `host[:port]`; they are sent to exactly that origin, and over https only. */
  readonly headers?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dockerCredentials?: Readonly<Record<string, { readonly user: string; readonly password: string }>>;
  readonly insecure?: Insecure;
  readonly trustKeysFromHTTPS?: boolean;
  /** Do not use the network; the same as pullPolicy `never`. */
  readonly storeOnly?: boolean;
  /** Do not use images of the store; the same as pullPolicy `update`. */
  readonly noStore?: boolean;
  /** Ignore the URL cache. */
  readonly noCache?: boolean;
  /** Default true. */
  readonly withDeps?: boolean;
  /** Default new. */
  readonly pullPolicy?: PullPolicy;
  /** How a registry image is stored: converted to an archive, as it is, or (the default) both. */
  readonly keep?: Keep;
  /** The platforms of registry images: `os/arch[/variant]`; default linux on this processor. */
  readonly platform?: readonly string[];
  /** The mirrors of registries. */
  readonly mirrors?: readonly MirrorRule[];
  /** Finds the credentials for a registry or a mirror, if dockerCredentials has none. */
  readonly registryCredentials?: CredentialLookup;
  /** The places with signatures of registry images, from readLookasides. If absent, there are none. */
  readonly lookasides?: Lookasides;
  /** Certificates by `host[:port]` in addition to `ca`, from readCertificates. */
  readonly certificates?: ReadonlyMap<string, HostCertificates>;
  /** The most transfers at a time, default 16. */
  readonly jobs?: number;
  /** The most transfers from one host at a time, default 6. */
  readonly jobsPerHost?: number;
  /** The number of threads that hash, inflate and verify; default: the processors that this process may use. */
  readonly workers?: number;
  /** Threads from openFetchPool, which the caller closes. Default: own threads, `workers` of them. */
  readonly pool?: Pool;
  /** Tries after the first, default 4. */
  readonly retries?: number;
  readonly limits?: Partial<Limits>;
  readonly timeouts?: Partial<Timeouts>;
  /** The most bytes a second of all transfers together. */
  readonly limitRate?: number;
  /** The least bytes a second of one transfer; below it the transfer counts as stalled. */
  readonly minRate?: number;
  readonly failFast?: boolean;
  readonly discover?: readonly { readonly prefix: string; readonly origin: string }[];
  /** PEM texts. */
  readonly ca?: readonly string[];
  /** `HOST:PORT:ADDRESS:PORT`, as curl's --connect-to. */
  readonly connectTo?: readonly string[];
  /** CIDR blocks. */
  readonly denyNet?: readonly string[];
  readonly proxy?: {
    readonly http?: string;
    readonly https?: string;
    /** Used for http or https if that has no proxy of its own. */
    readonly all?: string;
    readonly noProxy?: string;
  };
  readonly onEvent?: EventSink;
  readonly transport?: Transport;
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
  /** The URLs of the keys that discovery finds for a prefix of image names, each once. @throws DISCOVERY_FAILED */
  findKeys(prefix: string, signal: AbortSignal): Promise<readonly string[]>;
  /** The bytes of a key. @throws INSECURE_REFUSED for http if it is not allowed, LIMIT_EXCEEDED, network errors */
  getKey(url: string, signal: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
};

export type FetchCall = {
  /** The path of a detached signature, which is used instead of the one beside the image. */
  readonly signature?: string;
  readonly type?: ImageType;
  readonly signal?: AbortSignal;
};

export type BatchResult = { readonly outcomes: readonly Outcome[]; readonly totals: Totals };

export type Fetcher = AsyncDisposable & {
  /** Fetches an image from the network or a file into the store. @returns the ID, as findImage. @throws ImageError */
  fetchImage(image: string, call?: FetchCall): Promise<ImageId | Digest>;
  close(): Promise<void>;
};

export type BatchCall = {
  readonly signal?: AbortSignal;
  /** The images that references must resolve to; otherwise they fail with LOCK_MISMATCH. */
  readonly lock?: ImageLock;
  /** Called with the outcome of each request and each dependency as soon as it is known, in any order. */
  readonly onOutcome?: (outcome: Outcome) => void;
};

export type PlanResult = { readonly outcomes: readonly PlanOutcome[]; readonly totals: PlanTotals };

export type PlanCall = {
  readonly signal?: AbortSignal;
  /** Called with the outcome of each request and each dependency, of a node after those of its dependencies. */
  readonly onOutcome?: (outcome: PlanOutcome) => void;
};

export type Finder = AsyncDisposable & {
  /**
   * Finds an image in the store, or fetches it.
   *
   * @returns the image ID; the digest of the manifest for a registry image that is stored without conversion only.
   */
  findImage(image: string, call?: FetchCall): Promise<ImageId | Digest>;
  /** Does not reject if an image fails. Sets `app.imageID` of the apps that succeed. Outcomes are in the order of the apps. */
  findImages(apps: Iterable<App>, call?: BatchCall): Promise<BatchResult>;
  /** Finds out what findImages would do. It reads the store and asks servers, but downloads and writes nothing. */
  planImages(apps: Iterable<App>, call?: PlanCall): Promise<PlanResult>;
  close(): Promise<void>;
};
