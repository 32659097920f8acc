import type { RouteOptions } from './connect.ts';

/** The strong validator of a body. @see docs/rules.md H4 */
export type Validator = { readonly kind: 'etag' | 'last-modified'; readonly value: string };

/** Header names are lower case; repeated ones are lists, as the wire had them. */
export type HeaderFields = Readonly<Record<string, string | readonly string[]>>;

/** One exchange on the wire, without redirects, retries or interpretation. */
export type TransportRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** http or https, no user information, no fragment; it is asked for as it is written. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a POST. */
  readonly content?: string;
};

export type TransportResponse = {
  readonly status: number;
  readonly headers: HeaderFields;
  /** Yields the bytes as they come; ending iteration early ends the exchange. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Takes a chunk of the body that nobody looks at any more, for its memory. */
  readonly recycle?: (chunk: Uint8Array) => void;
};

/**
 * The replaceable session that performs one exchange. It and its body reject with NETWORK, TLS, TIMEOUT, LENGTH_MISMATCH
 * or RESPONSE_INVALID, and promptly with the signal's reason once that is aborted. What the body holds back is bounded.
 */
export type Transport = (request: TransportRequest, signal: AbortSignal) => Promise<TransportResponse>;

export type HttpTimeouts = {
  readonly connectMs: number;
  readonly headersMs: number;
  /** Silence in a body. */
  readonly stallMs: number;
};

type HttpLimits = {
  readonly archiveBytes: number;
  readonly redirects: number;
  readonly retryAfterMs: number;
};

/** PEM texts. */
export type TlsMaterial = {
  /** Authorities beside those of everyone. */
  readonly ca: readonly string[];
  /** What the client shows of itself. */
  readonly pairs: readonly { readonly cert: string; readonly key: string }[];
  /** Certificates of this host are not checked. */
  readonly insecure?: boolean;
};

export type HttpOptions = RouteOptions & {
  readonly timeouts: HttpTimeouts;
  readonly limits: HttpLimits;
  /** Tries after the first. */
  readonly retries: number;
  /** `--insecure-options=tls`: certificates are not checked. */
  readonly insecureTls: boolean;
  /** PEM text of additional certificate authorities. */
  readonly ca?: readonly string[];
  /** What one `host[:port]` asks for beyond that. */
  readonly tlsFor?: (host: string) => TlsMaterial | undefined;
  /** Headers for an exact `host[:port]`, sent over https only and never along a redirect to another origin. */
  readonly credentials: (origin: URL) => Readonly<Record<string, string>> | undefined;
  readonly userAgent: string;
  /** Bytes a second over all transfers. */
  readonly limitRate?: number;
  /** Bytes a second of one transfer, averaged over 5 s, below which it is stalled. */
  readonly minRate?: number;
  readonly transport?: Transport;
};

/**
 * How a request that shares connections with others gets on, told to whoever shares them out. None of these may throw but
 * `pause`.
 */
export type Pacing = {
  /**
   * An exchange begins.
   *
   * @param giveUp - ends it; the request pauses and is made again, without that counting as a try.
   * @returns to be called when it is over
   */
  onConnection(giveUp: () => void): () => void;
  /** Whether the server is waited for, and nothing else. */
  onWaiting(isWaiting: boolean): void;
  /** The headers of an answer have come. */
  onAnswer(): void;
  /** So many bytes of a body have come. */
  onBytes(bytes: number): void;
  /** Resolves when the request may go on after `wait`: meanwhile others may have what it had. */
  pause(wait: () => Promise<void>): Promise<void>;
};

/** Told of what a request goes through; none of these may throw. */
export type HttpObserver = {
  readonly pacing?: Pacing;
  readonly onRequest?: (url: string) => void;
  /** A host, `host:port`, has answered. */
  readonly onAnswer?: (host: string) => void;
  readonly onRetry?: (retry: {
    readonly url: string;
    readonly attempt: number;
    readonly delayMs: number;
    readonly code: string;
    /** Of an answer. */
    readonly status?: number;
  }) => void;
};

/** An answer whose status is none of those asked for. */
export type Refusal = {
  /** Of the last request of a chain of redirects, with its query. */
  readonly url: string;
  readonly status: number;
  readonly headers: HeaderFields;
  /** At most 16 KiB of it. */
  readonly body: Uint8Array;
};

/** What every request may say of itself. */
export type RequestOptions = {
  readonly url: string;
  /** Lower-case names; `authorization` and `cookie` go to the origin of `url` only, never along a redirect away from it. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The request brings what it is to be known by: the credentials of the options are not sent. */
  readonly ownCredentials?: boolean;
  /** Default everywhere. To its own origin alone, or nowhere; another redirect is REDIRECT_REFUSED. */
  readonly redirects?: 'same-origin' | 'none';
  /** Overrides the retries of the options. */
  readonly retries?: number;
  /** The server has so long to connect and to answer, if that is less than the timeouts of the options. */
  readonly answerMs?: number;
  /** Told of an answer that is going to be HTTP_STATUS; what it returns, one safe line, is added to the message. */
  readonly onRefusal?: (refusal: Refusal) => string | undefined;
  readonly observer?: HttpObserver;
};

/** A small body, whole: a signature, a page, a key. */
export type DocumentRequest = RequestOptions & {
  /** Default GET; the body of a HEAD is empty. */
  readonly method?: 'GET' | 'HEAD' | 'POST';
  /** Of a POST, which is to be one that may be repeated. */
  readonly content?: string;
  readonly limit: { readonly name: string; readonly bytes: number };
  /** Statuses that are answers; any other is HTTP_STATUS. */
  readonly statuses: readonly number[];
  /** A body that comes gzip-coded, though that was not asked for, is decoded; the limit is for both forms of it. */
  readonly decodes?: boolean;
};

export type HttpDocument = {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly url: string;
  readonly body: Uint8Array;
};

/** Where a download's bytes go; what is there already decides the Range that is asked for. */
export type Sink = {
  readonly bytes: number;
  readonly validator: Validator | undefined;
  readonly total: number | undefined;
  restart(about: { validator?: Validator; total?: number }): Promise<void>;
  /** The chunks may be used anew once it resolves. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
};

export type DownloadRequest = RequestOptions & {
  /** The digest of the body is known beforehand: it may be resumed without a validator. */
  readonly immutable?: boolean;
  /** Bytes of the whole body, where they are known beforehand: any other size is SIZE_MISMATCH. */
  readonly size?: number;
  readonly sink: Sink;
  /** Makes the request conditional when the sink is empty. */
  readonly known?: { readonly etag?: string; readonly lastModified?: string };
  /** After the headers of a body that will be taken; `resumedFrom` is 0 for a fresh one. */
  readonly onStart?: (start: { readonly total?: number; readonly resumedFrom: number }) => void | Promise<void>;
  /** After every append, with all the bytes of the sink. */
  readonly onProgress?: (bytes: number) => void;
};

export type Downloaded =
  | { readonly kind: 'not-modified'; readonly freshness: Freshness }
  | {
      readonly kind: 'complete';
      /** All bytes of the sink. */
      readonly bytes: number;
      /** Bytes that this call brought. */
      readonly transferred: number;
      /** Responses that the bytes came from, those of earlier runs counted: more than 1 after any resume. */
      readonly responses: number;
      readonly freshness: Freshness;
    };

/** What the cache may do with the answer. */
export type Freshness = { readonly etag?: string; readonly lastModified?: string; readonly maxAgeMs: number };

export type Http = AsyncDisposable & {
  /** A small body with redirects, retries and a limit. */
  getDocument(request: DocumentRequest, signal: AbortSignal): Promise<HttpDocument>;
  /** A large body into a sink, resumed as often as it takes. A sink stays as it is when this rejects. */
  download(request: DownloadRequest, signal: AbortSignal): Promise<Downloaded>;
  close(): Promise<void>;
};
