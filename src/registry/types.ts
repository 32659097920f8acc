import type { Http, HttpObserver } from '../http/contract.ts';
import type { Digest } from '../image/digest.ts';
import type { Limits } from '../image/limits.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { HostCertificates } from './certificates.ts';

/** `identity` is exchanged for tokens; `bearer` is one already. */
export type RegistryCredential =
  | { readonly kind: 'basic'; readonly user: string; readonly password: string }
  | { readonly kind: 'identity'; readonly token: string }
  | { readonly kind: 'bearer'; readonly token: string };

/** @param host - as references name it, `docker.io` or `host[:port]`; of a mirror its own. */
export type CredentialLookup = (host: string, repository: string) => Promise<RegistryCredential | undefined>;

export type Mirror = {
  /** `http(s)://host[:port]`; http here allows http to this mirror. */
  readonly origin: string;
  /** What stands before the repositories there, in the place of the rule's namespace: `proxy/hub`. */
  readonly prefix?: string;
  /** It may say what a tag means; otherwise it is asked for digests only. */
  readonly resolves: boolean;
  /** The references that it is asked for at all: those with a digest, or those without. Default: all. */
  readonly only?: 'digests' | 'tags';
  /** It is asked over http as well, once https has failed. */
  readonly insecure?: boolean;
};

/** Where the repositories of a registry or a namespace are to be had, or that they may not be asked for at all. */
export type MirrorRule = {
  /** `docker.io`, `docker.io/library`, `*.example.com`: of several that fit the longest counts. */
  readonly prefix: string;
  readonly blocked?: boolean;
  /** It is asked over http as well, once https has failed. */
  readonly insecure?: boolean;
  /** `host[:port][/path]` that takes the place of the prefix. */
  readonly location?: string;
  /** Asked before it, in this order, also where it is blocked itself. */
  readonly mirrors: readonly Mirror[];
  /** The file that says so. */
  readonly source?: string;
  /** Why it cannot be followed: nothing of what it is about is asked for, since it may be meant for a mirror. */
  readonly fault?: string;
};

export type RegistryOptions = {
  readonly http: Pick<Http, 'getDocument' | 'download'>;
  readonly credentials: CredentialLookup;
  /** `--insecure-options=http`: after https has failed. Registries on this machine are asked so in any case. */
  readonly allowHttp: boolean;
  readonly mirrors?: readonly MirrorRule[];
  /** By `host[:port]`. */
  readonly certificates?: ReadonlyMap<string, Pick<HostCertificates, 'warnings' | 'fault'>>;
  readonly limits: Pick<Limits, 'registryManifest' | 'registryConfig' | 'token' | 'layers' | 'indexDepth'>;
  /** Told of each different text once. */
  readonly onWarning: (message: string) => void;
  /** Of the requests that several images share: for tokens, and whether a registry is there. */
  readonly observer?: HttpObserver;
  readonly nowMs: () => number;
};

/** What leads to a document or blob, and what it must be. @see docs/rules.md R2, R3 */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
};

export type IndexEntry = Descriptor & { readonly platform: GoPlatform | undefined };

export type ImageIndex = {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly entries: readonly IndexEntry[];
  readonly annotations: Readonly<Record<string, string>>;
};

export type RegistryManifest = {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** The lowest first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
};

/** Bytes as transferred, checked against their digest. */
export type RegistryDocument = { readonly bytes: Uint8Array; readonly digest: Digest; readonly mediaType: string };
