import type { DiscoveryContext } from '../discovery/discover.ts';
import type { EventSink } from '../events.ts';
import type { Http, HttpObserver, Pacing, Traffic } from '../http/contract.ts';
import type { Keep } from '../image/apps.ts';
import type { Digest } from '../image/digest.ts';
import type { Expected } from '../image/expected.ts';
import type { ImageId } from '../image/image-id.ts';
import type { NodePlatform } from '../image/labels.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import type { PlatformChoice } from '../image/platform.ts';
import type { Evidence } from '../image/proof.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { showUrl } from '../image/show.ts';
import type { Pool } from '../pool/pool.ts';
import type { RegistryClient } from '../registry/client.ts';
import type { CosignPlace } from '../registry/cosign.ts';
import type { Lookasides } from '../registry/lookaside.ts';
import type { MirrorHealth } from '../registry/mirror-health.ts';
import type { RecentDocuments } from '../registry/recent-documents.ts';
import type { OnSilence, Store } from '../store/store.ts';
import type { Verifier } from '../verify/verify.ts';

/**
 * When images of the store are used. `new`: if the store has the name, or a fresh cache entry for the URL. `update`: only if the
 * image cannot have changed at its origin. `never`: always; the network is not used.
 */
export type PullPolicy = 'new' | 'update' | 'never';

/** What all fetches of a fetcher share, and a few members of one fetch. */
export type FetchContext = {
  readonly store: Store;
  readonly http: Http;
  readonly pool: Pool;
  /** If undefined, nothing is verified. */
  readonly verifier: Verifier | undefined;
  readonly policy: PullPolicy;
  /** The URL cache is ignored. */
  readonly noCache: boolean;
  /** Archives are kept as they were transferred, too. */
  readonly keepArchives: boolean;
  readonly registries: Registries;
  readonly answers: Answers;
  readonly discovery: Pick<DiscoveryContext, 'allowHttp' | 'keysByHttp' | 'origins'>;
  /** Keys that discovery finds over https are trusted without review. */
  readonly trustKeysFromHTTPS: boolean;
  /** The platform whose os and arch are used if a name has none. */
  readonly platform: NodePlatform;
  readonly limits: Limits;
  /** Runs transfers within the limits of the host and the batch; local files count for the batch only. */
  readonly slots: Slots;
  /** The most transfers at a time, in all and from one host. */
  readonly concurrency: { readonly jobs: number; readonly jobsPerHost: number };
  /** The slot of one transfer. */
  readonly slot?: Slot;
  /** Takes cleanup that need not be finished before an image is reported. It is awaited at the end of the batch; failures are ignored. */
  readonly tidy: (work: Promise<unknown>) => void;
  readonly onEvent: EventSink;
  /** Counts of all requests and retries; the totals of a batch are differences of them. */
  readonly tally: { requests: number; retries: number };
  /** What was exchanged with each host. */
  readonly traffic: Traffic;
  readonly nowMs: () => number;
  /** For one fetch: called with the dependencies of its image before that is complete and verified. */
  readonly onDependencies?: (dependencies: readonly Dependency[]) => void;
  /** The images that references must resolve to. */
  readonly lock?: Lock;
  /** For a prefetch: resolves when a verified image asks for it. No key is discovered before. */
  readonly promoted?: Promise<void>;
  /** Absent: nobody else brings the same images. */
  readonly sharing?: Sharing;
  /** Who may have kept archives that locks name. Absent: only their origins are asked. */
  readonly archivePeers?: { readonly lookup: ArchivePeerLookup; readonly health: MirrorHealth };
};

/** Another machine that gives the archives that it has kept, as `longshore serve` does. */
export type ArchivePeer = {
  /** `http(s)://host[:port]` */
  readonly origin: string;
  readonly user: string;
  readonly password: string;
};

/** Finds the peers that are asked for an archive, in this order. @param digest - of the archive as it was transferred */
export type ArchivePeerLookup = (digest: Digest) => readonly ArchivePeer[];

/** How processes with stores of their own share the work of bringing the blobs of registry images. */
export type Sharing = {
  /**
   * Called when it is known which blobs of an image are needed. For one image it may be called again: for what is attached to it, for
   * another platform, or once more for the same blobs.
   */
  begin(
    image: { readonly key: string; readonly reference: Pick<RegistryReference, 'host' | 'repository'> },
    blobs: readonly { readonly digest: Digest; readonly size: number }[],
    signal: AbortSignal,
  ): Promise<SharedBlobs>;
  /** Called before an archive is asked for at its URL. Resolves when no other process brings it; meanwhile it has no slot. */
  beginArchive?(this: void, url: string, signal: AbortSignal): Promise<SharedArchive>;
};

/** To be disposed of when this process no longer brings the archive. */
type SharedArchive = AsyncDisposable & {
  /** What a lock would have of it, if another process has brought it. */
  readonly brought: LockedImage | undefined;
  /** Called when the store has it. */
  have(this: void, image: LockedImage): Promise<void>;
};

export type SharedBlobs = {
  /** Resolves when this process may ask for the blob: no other one brings it, or one has brought it. Meanwhile the blob has no slot. */
  mayAsk(digest: Digest, signal: AbortSignal): Promise<void>;
};

/** What a lock has of one reference. An image is fetched by it, also if its tag or its name stands for another one now. */
export type LockedImage = {
  /** Of an archive. */
  readonly imageID?: ImageId | Digest | undefined;
  /** Of an archive: of the bytes as they were transferred. Of a registry image: of what its reference stood for, an index or a manifest. */
  readonly digest?: Digest | undefined;
  /** Where an archive came from that was asked for by its name; without a query. Absent: it is discovered again. */
  readonly url?: string | undefined;
  /** Where its signature came from, if that is not beside it. */
  readonly signature?: string | undefined;
  /** Of a registry image: the digest of the manifest for each platform, or of the index for `all`. */
  readonly platforms?: Readonly<Record<string, Digest>> | undefined;
  /** Fingerprints of keys, one of which must have signed it; absent if it was not verified. */
  readonly signedBy?: readonly string[] | undefined;
};

/** The images that references resolved to before, and must resolve to again. */
export type ImageLock = {
  /**
   * Keys are references as a lock file has them. A value may be an ID alone: an image ID; or the digest of the manifest of a registry
   * image for one platform, whose key then ends with it: `docker://host/name:tag#linux/amd64`.
   */
  readonly images: ReadonlyMap<string, LockedImage | ImageId | Digest>;
  /** References without an entry are refused. */
  readonly frozen: boolean;
  /**
   * Called with the image of each reference, whether it has an entry or not; several times if requests ask for different platforms of
   * it. `id` is the `imageID` of it, else its `digest`. What it throws, or rejects with, ends the batch.
   */
  readonly onFound: (reference: string, id: ImageId | Digest, image: LockedImage) => unknown;
};

/** A lock whose entries are whole. */
export type Lock = Pick<ImageLock, 'frozen' | 'onFound'> & { readonly images: ReadonlyMap<string, LockedImage> };

/** What a lock says of a reference, which is its key there. */
export type Held = LockedImage & { readonly reference: string };

/** How what servers answered is used again, instead of asking them: the digest of a tag, the endpoints of a name. */
export type Answers = {
  /** Older answers are not used; with 0 none is kept. */
  readonly maxAgeMs: number;
  /** Whether answers are kept; a plan only reads them. */
  readonly areKept: boolean;
  /** The settings on which it depends who answers. Their hash is part of each question. */
  readonly network: string;
  /** The headers that are sent to a host, which may be credentials. */
  readonly headersFor: (host: string) => Readonly<Record<string, string>> | undefined;
  /** Identifies credentials in the store without revealing them. */
  identityOf(credentials: readonly unknown[], salt: string): Promise<string>;
};

/** What is brought of a registry image, and how it is kept. */
export type Choices = {
  readonly keep: Keep;
  /** The platforms that an image is fetched for; `all` stands alone. The first one has the name. */
  readonly platforms: readonly [PlatformChoice, ...PlatformChoice[]];
  /** Whether the user gave platforms. If not, an image whose only platform is another one is fetched with a warning. */
  readonly isPlatformAsked: boolean;
};

/** The choices of one request, where they are not those of the finder. */
export type OwnChoices = Choices & {
  /** Another request of the batch, for other platforms of the same reference, has the name. */
  readonly isFurther: boolean;
};

export type Registries = Choices & {
  /** The client of all fetches, which is created when first needed. */
  client(): Promise<RegistryClient>;
  /** The places with signatures of images. */
  readonly lookasides: Lookasides;
  /** Where the signatures of cosign were found last, by host: that place is asked first. */
  readonly cosignPlaces: Map<string, CosignPlace>;
  /** Hosts that had no lists of what is attached to an image. */
  readonly listless: Set<string>;
  /** A cache of image configurations. */
  readonly configs: RecentDocuments;
  /**
   * Signatures that came with images of an archive, by the manifest or index that they are about. They, and what is attached to the images
   * there, are all that is looked at.
   */
  readonly carried?: {
    /** What the archive is called in errors. */
    readonly from: string;
    find(this: void, digest: Digest): Promise<readonly Evidence[]>;
    /** What the archive has attached to a manifest or an index. */
    attachedTo(this: void, digest: Digest): readonly Digest[];
  };
  /** Whether what is attached to images is kept with them. */
  readonly referrers: boolean;
};

export type Slots = {
  /**
   * Runs work when there is a slot. Rejects with the signal's reason if that is aborted before.
   *
   * @param host - `host[:port]`, or undefined for a local file.
   */
  run<T>(host: string | undefined, signal: AbortSignal, work: (slot: Slot) => Promise<T>): Promise<T>;
  /** As run, for the first request of an image: requests of images that have begun come before it. */
  runFirst<T>(host: string | undefined, signal: AbortSignal, work: (slot: Slot) => Promise<T>): Promise<T>;
  /** Slots for prefetches: until `promoted` they come after the other transfers of their host, and use at most half of the slots. */
  prefetch(promoted: Promise<void>): Slots;
  /** Called when a host has answered a request that needs no slot. */
  answered(host: string): void;
};

/** The slot of one transfer. */
export type Slot = Pacing & {
  /** Called when all bytes have arrived: gives the slot back, unless too many arrived images are not verified yet. */
  arrived(): void;
};

/** One request as a fetcher sees it. */
export type FetchRequest<R> = {
  /** The node's key, for events. */
  readonly key: string;
  readonly reference: R;
  /** The path of a detached signature, which is used instead of the one beside the image. */
  readonly signature: string | undefined;
  /** What a dependency or a lock requires of the image in addition to name and labels. */
  readonly pin?: Pin | undefined;
  readonly choices?: OwnChoices | undefined;
};

/** The context of one request, which may have choices of its own. */
export function contextFor(context: FetchContext, { choices }: Pick<FetchRequest<unknown>, 'choices'>): FetchContext {
  return choices ? { ...context, registries: { ...context.registries, ...choices } } : context;
}

export type Pin = {
  /** A whole image ID or a prefix of one. */
  readonly imageId?: string;
  /** The size of the uncompressed image in bytes. */
  readonly size?: number;
  /** What the lock says. */
  readonly held?: Held;
};

/** What an archive must be. */
export type Wanted = Expected & Pick<Pin, 'held'>;

/** Counts requests and retries, reports retries as events, and passes the progress to the slot. */
export function createObserver({ tally, traffic, onEvent, slot }: FetchContext, key: string): HttpObserver {
  return {
    ...(slot && { pacing: slot }),
    traffic,
    onRequest: () => {
      tally.requests += 1;
    },
    onRetry: ({ url, ...retry }) => {
      tally.retries += 1;
      traffic.retried(URL.parse(url)?.host ?? '');
      onEvent({ type: 'retry', key, url: showUrl(url), ...retry });
    },
  };
}

/** Warns if another process, which this one waits for, does not respond. */
export function warnOfSilence({ onEvent }: FetchContext, key: string): OnSilence {
  return (what) => {
    const meanwhile =
      what === 'still waiting' ? 'this process waits for it a minute at most' : 'this process fetches the image itself';
    const message = `the process that fetches it does not respond, it may be stopped: ${meanwhile}`;
    onEvent({ type: 'warning', key, message });
  };
}

/** The same context, but reading the store records nothing in it. */
export function asReadOnly(context: FetchContext): FetchContext {
  return {
    ...context,
    answers: { ...context.answers, areKept: false },
    store: {
      ...context.store,
      touch: () => undefined,
      touchRegistryImage: () => undefined,
      confirmBlob: () => Promise.resolve(),
      confirmDigest: () => Promise.resolve(),
    },
  };
}
