import type { Http } from '../http/contract.ts';
import type { Digest } from '../image/digest.ts';
import type { Limits } from '../image/limits.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import type { HostCertificates } from './certificates.ts';

/** What a registry or a mirror is shown. */
export type RegistryCredential =
  | {
      /** A `user` with a `password`. */
      readonly kind: 'basic';
      readonly user: string;
      readonly password: string;
    }
  | {
      /** A `token` that is exchanged for bearer tokens. */
      readonly kind: 'identity';
      readonly token: string;
    }
  | {
      /** A `token` that is sent as it is. */
      readonly kind: 'bearer';
      readonly token: string;
    };

/**
 * Finds the credential for a repository; undefined if there is none, and the registry is asked without.
 *
 * @param host - the registry as references name it, `docker.io` or `host[:port]`, or the host of a mirror.
 * @param repository - such as `library/busybox`.
 */
export type CredentialLookup = (host: string, repository: string) => Promise<RegistryCredential | undefined>;

/** A mirror of a registry or of a namespace. */
export type Mirror = {
  /** `http(s)://host[:port]`. With http, the mirror is asked over http only. */
  readonly origin: string;
  /** Replaces the namespace of the rule in the names of repositories: `proxy/hub`. */
  readonly prefix?: string | undefined;
  /** The mirror may resolve tags; otherwise it is asked for digests only. */
  readonly resolves: boolean;
  /** The references that the mirror is used for: those with a digest, or those without one. Default: all. */
  readonly only?: 'digests' | 'tags' | undefined;
  /** The mirror may be asked over http if https fails. */
  readonly insecure?: boolean | undefined;
};

/** The mirrors of a registry or a namespace, and whether it is blocked. */
export type MirrorRule = {
  /** `docker.io`, `docker.io/library`, `*.example.com`. Of several matching rules, the longest prefix is used. */
  readonly prefix: string;
  /** The registry itself must not be asked; its mirrors are. Default false. */
  readonly blocked?: boolean | undefined;
  /** The registry may be asked over http if https fails. */
  readonly insecure?: boolean | undefined;
  /** Replaces the prefix: `host[:port][/path]`. */
  readonly location?: string | undefined;
  /** Asked before the registry, in this order, also if the registry is blocked. */
  readonly mirrors: readonly Mirror[];
  /** The file that the rule is from, for messages; undefined for a rule that is in no file. */
  readonly source?: string | undefined;
  /** Why the rule is invalid. Its repositories are not requested at all, since they may be meant for a mirror. */
  readonly fault?: string | undefined;
};

/** Another program that may have content of a repository because it has fetched it, or has been given it, before. */
export type Peer = {
  /** `host[:port]`, whose credentials are used. */
  readonly host: string;
  /** The name of the repository there. */
  readonly repository: string;
  /** `http(s)://host[:port]`: it answers itself, and redirects are refused. Default: it is asked as the registry of that name is. */
  readonly origin?: string;
  /** After peers of which one is the last resort, neither mirrors nor the registry are asked. */
  readonly isLastResort?: boolean;
};

/** Finds the peers that are asked for content, in this order. It is asked often, and only for what is named by its digest. */
export type PeerLookup = (content: {
  readonly host: string;
  readonly repository: string;
  /** `blobs/sha256:…`, `manifests/sha256:…` */
  readonly path: string;
}) => readonly Peer[];

export type RegistryOptions = {
  readonly http: Pick<Http, 'getDocument' | 'download' | 'repeat'>;
  readonly credentials: CredentialLookup;
  /** `--insecure-options=http`: http is used if https fails. For registries on this machine that is always so. */
  readonly allowHttp: boolean;
  readonly mirrors?: readonly MirrorRule[];
  /** Asked before mirrors. What they do not have, or falsify, is asked of the others. */
  readonly peers?: PeerLookup;
  /** Keys are `host[:port]`. */
  readonly certificates?: ReadonlyMap<string, Pick<HostCertificates, 'warnings' | 'fault'>>;
  readonly limits: Pick<
    Limits,
    'registryManifest' | 'registryConfig' | 'token' | 'layers' | 'indexDepth' | 'retryAfter'
  >;
  /** Called once with each different message. */
  readonly onWarning: (message: string) => void;
  readonly nowMs: () => number;
};

/** Describes a document or blob, which must match it. @see docs/rules.md R2, R3 */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
};

export type IndexEntry = Descriptor & {
  readonly platform: GoPlatform | undefined;
  /** Of what is no image; a list of what is attached may leave it out. */
  readonly artifactType?: string;
};

export type ImageIndex = {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly entries: readonly IndexEntry[];
  /** The manifest that it is attached to. */
  readonly subject: Digest | undefined;
  readonly annotations: Readonly<Record<string, string>>;
};

export type RegistryManifest = {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** The lowest layer first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
};

/** A manifest of any kind: of an image, or of what is attached to one. `config` is absent in an artifact manifest. */
export type AnyManifest = {
  readonly kind: 'any';
  readonly mediaType: string;
  /** What it is: its `artifactType`, else the type of its configuration. */
  readonly artifactType: string;
  readonly config: Descriptor | undefined;
  readonly layers: readonly Descriptor[];
  /** The manifest that it is attached to. */
  readonly subject: Digest | undefined;
  readonly annotations: Readonly<Record<string, string>>;
};

/** The bytes of a document as transferred; they match the digest. */
export type RegistryDocument = { readonly bytes: Uint8Array; readonly digest: Digest; readonly mediaType: string };

/** `digest` is that of the reference, if it has one. */
export type Repository = Pick<RegistryReference, 'host' | 'repository' | 'digest'>;
