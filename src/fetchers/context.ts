import type { DiscoveryContext } from '../discovery/discover.ts';
import type { EventSink } from '../events.ts';
import type { Http, HttpObserver, Pacing } from '../http/contract.ts';
import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import type { NodePlatform } from '../image/labels.ts';
import type { Limits } from '../image/limits.ts';
import type { Dependency } from '../image/manifest.ts';
import type { GoPlatform } from '../image/platform.ts';
import { showUrl } from '../image/show.ts';
import type { Pool } from '../pool/pool.ts';
import type { RegistryClient } from '../registry/client.ts';
import type { Lookasides } from '../registry/lookaside.ts';
import type { RecentDocuments } from '../registry/recent-documents.ts';
import type { OnSilence, Store } from '../store/store.ts';
import type { Verifier } from '../verify/verify.ts';

/** When the store may answer: `update` only where nothing could have changed at the origin, `never` always. */
export type PullPolicy = 'new' | 'update' | 'never';

/** What every fetch of a batch shares; lives as long as the fetcher. */
export type FetchContext = {
  readonly store: Store;
  readonly http: Http;
  readonly pool: Pool;
  /** Absent: nothing is verified. */
  readonly verifier: Verifier | undefined;
  readonly policy: PullPolicy;
  /** What is remembered of URLs is not looked at. */
  readonly noCache: boolean;
  readonly registries: Registries;
  readonly discovery: Pick<DiscoveryContext, 'allowHttp' | 'origins'>;
  /** Keys that discovery offers over https are trusted without review. */
  readonly trustKeysFromHTTPS: boolean;
  /** Where os and arch come from when a name leaves them out. */
  readonly platform: NodePlatform;
  readonly limits: Limits;
  /** Runs a transfer when the host and the batch have room for it; local files count against the batch only. */
  readonly slots: Slots;
  /** Of one transfer: the slot that it runs in. */
  readonly slot?: Slot;
  /** Takes what is tidied up when an image is there already: no image waits for it, the batch does. A failure is nobody's. */
  readonly tidy: (work: Promise<unknown>) => void;
  readonly onEvent: EventSink;
  /** Counted as they happen; read for the totals of a batch. */
  readonly tally: { requests: number; retries: number };
  readonly nowMs: () => number;
  /** Of one fetch: told what its image depends on while that still arrives, and nothing of it is verified. */
  readonly onDependencies?: (dependencies: readonly Dependency[]) => void;
  /** What images have to be. */
  readonly lock?: ImageLock;
  /** Of a fetch ahead, which nothing verified asks for: resolves once something does. No key is discovered before. */
  readonly promoted?: Promise<void>;
};

/** What references were found to be, and have to be again. */
export type ImageLock = {
  /** By reference, as a lock writes it: the image ID; of a registry's image for one platform the digest of its manifest. */
  readonly images: ReadonlyMap<string, ImageId | Digest>;
  /** Nothing else is fetched. */
  readonly frozen: boolean;
  /** Told what a reference was found to be, whether the lock has it or not. */
  readonly onFound: (reference: string, id: ImageId | Digest) => void;
};

/** What is kept of a registry's image: an archive that it is converted to, itself, or both. */
export type Keep = 'aci' | 'oci' | 'both';

export type Registries = {
  /** The one client of all fetches, made when it is first needed. */
  client(): Promise<RegistryClient>;
  /** Where signatures of images are read. */
  readonly lookasides: Lookasides;
  /** Configurations that came lately. */
  readonly configs: RecentDocuments;
  readonly keep: Keep;
  /** At least one: those that are brought of every image. The first is the one that is answered with. */
  readonly platforms: readonly [GoPlatform, ...GoPlatform[]];
  /** Without it an image for another platform is brought with a warning, where it is the only one there is. */
  readonly isPlatformAsked: boolean;
};

export type Slots = {
  /**
   * @param host - `host:port`, or undefined for a local file. Rejects with the signal's reason once it is aborted.
   * @param work - done once there is a slot, with the means to say how it gets on.
   */
  run<T>(host: string | undefined, signal: AbortSignal, work: (slot: Slot) => Promise<T>): Promise<T>;
  /** The same slots for prefetched images: until `promoted`, after the other transfers of their host, and half of all at most. */
  prefetch(promoted: Promise<void>): Slots;
  /** A host has answered what needed no slot. */
  answered(host: string): void;
};

/** What a transfer runs in. */
export type Slot = Pacing & {
  /**
   * The network has done its part: the slot goes to the next transfer, unless too many have arrived and are not worked
   * off.
   */
  arrived(): void;
};

/** One request as a fetcher sees it. */
export type FetchRequest<R> = {
  /** The node's key, for events. */
  readonly key: string;
  readonly reference: R;
  /** Path of a detached signature that overrides the one beside the image. */
  readonly signature: string | undefined;
  /** What a dependency entry, or a lock, demands of the image beyond name and labels. */
  readonly pin?: Pin | undefined;
};

export type Pin = {
  /** A whole image ID or a prefix of one. */
  readonly imageId?: string;
  /** Bytes of the uncompressed image. */
  readonly size?: number;
};

/** Counts requests and retries, and tells of the latter; the slot is told how they get on. */
export function observing({ tally, onEvent, slot }: FetchContext, key: string): HttpObserver {
  return {
    ...(slot && { pacing: slot }),
    onRequest: () => {
      tally.requests += 1;
    },
    onRetry: ({ url, ...retry }) => {
      tally.retries += 1;
      onEvent({ type: 'retry', key, url: showUrl(url), ...retry });
    },
  };
}

/** Says what becomes of the wait for another process that may be stopped. */
export function tellingSilence({ onEvent }: FetchContext, key: string): OnSilence {
  return (what) => {
    const meanwhile =
      what === 'still waiting' ? 'it is waited for a minute at most' : 'this one fetches it as well, for itself';
    const message = `the process that fetches it gives no sign of life, as one that is stopped: ${meanwhile}`;
    onEvent({ type: 'warning', key, message });
  };
}

/** The same, but what a look at the store would note down there is forgotten. */
export function readingOnly(context: FetchContext): FetchContext {
  return {
    ...context,
    store: {
      ...context.store,
      touch: () => undefined,
      touchRegistryImage: () => undefined,
      confirmBlob: () => Promise.resolve(),
      confirmDigest: () => Promise.resolve(),
    },
  };
}
