import type { PlanOutcome, PlanTotals } from './coordinator/plan-batch.ts';
import type { EventSink, Outcome, Totals } from './events.ts';
import type { Keep, PullPolicy, ImageLock } from './fetchers/context.ts';
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

/** Checks that are lifted. `image`: signatures (name and labels are checked all the same). */
export type Insecure = {
  readonly image?: boolean;
  readonly tls?: boolean;
  readonly http?: boolean;
  /** Keys are trusted over https although `tls` is lifted. */
  readonly pubkey?: boolean;
  readonly weakKeys?: boolean;
};

export type ActionOptions = {
  readonly store: Store;
  /** Absent: nothing is verified, as in rkt. */
  readonly keystore?: Keystore;
  /** Request headers by `host[:port]`, sent to exactly that origin and only over https. */
  readonly headers?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dockerCredentials?: Readonly<Record<string, { readonly user: string; readonly password: string }>>;
  readonly insecure?: Insecure;
  readonly trustKeysFromHTTPS?: boolean;
  /** Nothing from the network; the same as pullPolicy never. */
  readonly storeOnly?: boolean;
  /** Do not answer from the store; the same as pullPolicy update. */
  readonly noStore?: boolean;
  /** Ignore what is remembered of URLs altogether. */
  readonly noCache?: boolean;
  /** Default true. */
  readonly withDeps?: boolean;
  /** Default new. */
  readonly pullPolicy?: PullPolicy;
  /** What is kept of a registry's image: an archive made of it, itself, or (the default) both. */
  readonly keep?: Keep;
  /** Platforms that images of registries are brought for: `os/arch[/variant]`; default linux on this processor. */
  readonly platform?: readonly string[];
  /** Where images of registries may be had beside or instead of the registry itself. */
  readonly mirrors?: readonly MirrorRule[];
  /** What to show a registry or a mirror; asked where dockerCredentials has nothing. */
  readonly registryCredentials?: CredentialLookup;
  /** Where signatures of registries' images are read, as readLookasides gives it; absent: nowhere. */
  readonly lookasides?: Lookasides;
  /** By `host[:port]`, beside `ca`: as readCertificates gives them. */
  readonly certificates?: ReadonlyMap<string, HostCertificates>;
  /** Transfers at once, default 16. */
  readonly jobs?: number;
  /** Transfers at once from one host, default 6. */
  readonly jobsPerHost?: number;
  /** Threads that hash, inflate and verify; default the processors this process may use. */
  readonly workers?: number;
  /** Threads that are there already, as openFetchPool opens them; who opened them closes them. Default: own, of `workers`. */
  readonly pool?: Pool;
  /** Tries after the first, default 4. */
  readonly retries?: number;
  readonly limits?: Partial<Limits>;
  readonly timeouts?: Partial<Timeouts>;
  /** Bytes a second, over all transfers. */
  readonly limitRate?: number;
  /** Bytes a second, for one transfer; below it the transfer counts as stalled. */
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
    /** For what has none of its own. */
    readonly all?: string;
    readonly noProxy?: string;
  };
  readonly onEvent?: EventSink;
  readonly transport?: Transport;
};

/** The part of ActionOptions that says how the network is used. */
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

/** Where keys come from that are to be trusted. */
export type KeyFinder = AsyncDisposable & {
  /** The URLs of the keys that discovery offers for a prefix of image names, each once. @throws DISCOVERY_FAILED */
  findKeys(prefix: string, signal: AbortSignal): Promise<readonly string[]>;
  /** The bytes of a key. @throws INSECURE_REFUSED for http where it is not allowed, LIMIT_EXCEEDED, what networks do */
  getKey(url: string, signal: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
};

export type FetchCall = {
  /** Path of a detached signature that overrides the one beside the image. */
  readonly signature?: string;
  readonly type?: ImageType;
  readonly signal?: AbortSignal;
};

export type BatchResult = { readonly outcomes: readonly Outcome[]; readonly totals: Totals };

export type Fetcher = AsyncDisposable & {
  /** From the network or a file into the store. @returns the ID, as findImage. @throws ImageError */
  fetchImage(image: string, call?: FetchCall): Promise<ImageId | Digest>;
  close(): Promise<void>;
};

export type BatchCall = {
  readonly signal?: AbortSignal;
  /** What references have to be: LOCK_MISMATCH otherwise. */
  readonly lock?: ImageLock;
  /** Told of each request's and each dependency's outcome as soon as it is known, in any order. */
  readonly onOutcome?: (outcome: Outcome) => void;
};

export type PlanResult = { readonly outcomes: readonly PlanOutcome[]; readonly totals: PlanTotals };

export type PlanCall = {
  readonly signal?: AbortSignal;
  /** Told of each request's and each dependency's outcome, a node after all that it needs. */
  readonly onOutcome?: (outcome: PlanOutcome) => void;
};

export type Finder = AsyncDisposable & {
  /**
   * From the store if it can, else as fetchImage.
   *
   * @returns the image ID; of a registry's image that is kept as it came alone, the digest of its manifest.
   */
  findImage(image: string, call?: FetchCall): Promise<ImageId | Digest>;
  /** Never rejects for a failed image; fills `app.imageID` of those that succeeded. Outcomes in the order of the apps. */
  findImages(apps: Iterable<App>, call?: BatchCall): Promise<BatchResult>;
  /** What findImages would do: asks store and network, brings nothing, writes nothing, also where the store could be. */
  planImages(apps: Iterable<App>, call?: PlanCall): Promise<PlanResult>;
  close(): Promise<void>;
};
