import type { HostTraffic } from '../events.ts';

/** A strong validator of a body. @see docs/rules.md H4 */
export type Validator = { readonly kind: 'etag' | 'last-modified'; readonly value: string };

/** Headers by name, in lower case; the value of a repeated header is a list, in the order received. */
export type HeaderFields = Readonly<Record<string, string | readonly string[]>>;

/** The body of a request that sends much. */
export type RequestBody = {
  /** Its length in bytes. */
  readonly bytes: number;
  /**
   * Begins to read it. It is called anew for each exchange, and yields exactly `bytes` bytes. An error that it throws ends the
   * exchange, which then rejects with that error.
   */
  readonly open: () => AsyncIterable<Uint8Array>;
};

/** One exchange on the wire, without redirects, retries or interpretation. */
export type TransportRequest = {
  /** The method. */
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  /** http or https, without user and fragment. It is sent exactly as it is written. */
  readonly url: string;
  /** Names are in lower case. `host`, `connection` and the framing of the body are left to the transport. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body of a POST that is a text. */
  readonly content?: string;
  /** Any other body. It is sent with its length, chunk by chunk as the server takes it. */
  readonly body?: RequestBody;
};

/** The answer to one exchange, as soon as its headers have arrived. */
export type TransportResponse = {
  /** The status, from 200 on: a redirect is an answer like any other. */
  readonly status: number;
  /** A plain object. Names may have upper case: longshore makes them lower case. */
  readonly headers: HeaderFields;
  /** Yields the bytes as they are on the wire, as they arrive; ending the iteration early ends the exchange. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Takes back the memory of a chunk of the body that is no longer read. */
  readonly recycle?: ((chunk: Uint8Array) => void) | undefined;
};

/**
 * Performs one exchange, for a program that has its own way into the network. It follows no redirects, decodes no bodies and
 * repeats nothing, and lets few bytes of the body wait for the reader.
 *
 * Once the signal is aborted it ends the exchange. longshore does not wait for that: it rejects at once with the reason, and after
 * the times for connecting and for headers together with TIMEOUT.
 *
 * It and its body may reject with errors of Node's sockets, of fetch and of undici, also as a `cause`: they become NETWORK, TLS,
 * TIMEOUT, LENGTH_MISMATCH or RESPONSE_INVALID, and are retried as such. Any other error is final.
 */
export type Transport = (request: TransportRequest, signal: AbortSignal) => Promise<TransportResponse>;

export type HttpTimeouts = {
  readonly connectMs: number;
  readonly headersMs: number;
  /** The longest time between two chunks of a body. */
  readonly stallMs: number;
};

type HttpLimits = {
  readonly archiveBytes: number;
  readonly redirects: number;
  readonly retryAfterMs: number;
};

/** PEM texts. */
export type TlsMaterial = {
  /** Certificate authorities in addition to those of Node. */
  readonly ca: readonly string[];
  /** Client certificates (`cert`), each with its private `key`. */
  readonly pairs: readonly { readonly cert: string; readonly key: string }[];
  /** Certificates of this host are not checked. */
  readonly insecure?: boolean | undefined;
};

/** The addresses that connections may go to, and the proxies that they go through. */
export type RouteOptions = {
  readonly connectTo: readonly ConnectTo[];
  /** CIDR blocks that no connection may go to; the address is checked after DNS. */
  readonly denyNet: readonly string[];
  /** `all` is used for http or https where that has no proxy of its own. */
  readonly proxy: {
    readonly http?: string | undefined;
    readonly https?: string | undefined;
    readonly all?: string | undefined;
    readonly noProxy?: string | undefined;
  };
};

export type ConnectTo = {
  readonly host: string;
  readonly port: string;
  readonly toHost: string;
  readonly toPort: string;
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
  /** Additional certificates for one `host[:port]`. */
  readonly tlsFor?: (host: string) => TlsMaterial | undefined;
  /** Headers for an exact `host[:port]`, sent over https only and never along a redirect to another origin. */
  readonly credentials: (origin: URL) => Readonly<Record<string, string>> | undefined;
  readonly userAgent: string;
  /** Bytes a second over all transfers, received and sent, and over those from, to or by way of one `host[:port]`. */
  readonly limitRate?: number;
  readonly limitRates?: Readonly<Record<string, number>>;
  /** Bytes a second of one transfer, averaged over 5 s, below which it is stalled. */
  readonly minRate?: number;
  readonly transport?: Transport;
};

/** Reports the progress of one request to the code that assigns transfer slots. Only `pause` may throw. */
export type Pacing = {
  /**
   * Called when an exchange begins.
   *
   * @param giveUp - ends the exchange. The request then pauses and is repeated, which does not count as a try.
   * @returns a function to call when the exchange is over.
   */
  onConnection(giveUp: () => void): () => void;
  /** Called with true when the request begins to wait for its server, with false when the wait is over. */
  onWaiting(isWaiting: boolean): void;
  /** Called when the headers of an answer have arrived; without a status if the answer was for other requests too. */
  onAnswer(status?: number): void;
  /**
   * Called when the answer was 429 or 503, with the Retry-After of the server in milliseconds: until then the host is not asked.
   *
   * @returns whether the host seems to have refused the number of transfers, and gets fewer now. Then it does not count as a try.
   */
  onRefused(retryAfterMs: number | undefined): boolean;
  /** Called when the connection was cut before all of the answer had come. */
  onCut(): void;
  /** Called with the size of each chunk of a body. */
  onBytes(bytes: number): void;
  /** Gives the slot of the request back during `wait`. Resolves when the request has a slot again. */
  pause(wait: () => Promise<void>): Promise<void>;
};

type Answered = { readonly method: string; readonly status: number; readonly headers: HeaderFields };

/** Counts what is exchanged with each host, from `begin` until what that returns is called, with the bytes of the two bodies. */
export type Traffic = {
  begin(host: string): (answer: Answered | undefined, bytesReceived: number, bytesSent: number) => void;
  retried(host: string): void;
  read(): readonly HostTraffic[];
};

/** Called with what happens to a request; none of these functions may throw. */
export type HttpObserver = {
  readonly pacing?: Pacing;
  readonly traffic?: Pick<Traffic, 'begin'>;
  readonly onRequest?: () => void;
  /** Called with the `host[:port]` that has answered. */
  readonly onAnswer?: (host: string) => void;
  readonly onRetry?: (retry: {
    readonly url: string;
    readonly attempt: number;
    readonly delayMs: number;
    readonly code: string;
    /** The status of the answer, if there was one. */
    readonly status?: number;
  }) => void;
};

/** An answer with a status that the request does not accept. */
export type Refusal = {
  /** The URL of the last redirect, with its query. */
  readonly url: string;
  readonly status: number;
  readonly headers: HeaderFields;
  /** At most the first 16 KiB. */
  readonly body: Uint8Array;
};

/** The options of every kind of request. */
export type RequestOptions = {
  readonly url: string;
  /** Names are in lower case. `authorization` and `cookie` are sent to the origin of `url` only, not after a redirect to another. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The request has credentials in its own headers: those of the options are not sent. */
  readonly ownCredentials?: boolean;
  /** Which redirects are followed: all by default. Any other is REDIRECT_REFUSED. */
  readonly redirects?: 'same-origin' | 'none';
  /** Overrides the retries of the options. */
  readonly retries?: number;
  /** It is a part of what `repeat` repeats: it is sent once, and its failure ends that try. */
  readonly isPart?: boolean;
  /** The longest time until the headers of the answer, where that is less than the timeouts of the options. */
  readonly answerMs?: number;
  /** What the body of the answer must keep to, where the options ask for less: the longest silence, and bytes a second. */
  readonly pace?: { readonly stallMs: number; readonly minRate: number };
  /** Called with an answer that becomes HTTP_STATUS. The line that it returns must be safe to show; it is added to the message. */
  readonly onRefusal?: (refusal: Refusal) => string | undefined;
  readonly observer?: HttpObserver;
};

/** A request for a small body that is kept in memory, such as a signature, a page or a key. */
export type DocumentRequest = RequestOptions & {
  /** Default GET; the body of the answer to a HEAD is empty. */
  readonly method?: TransportRequest['method'];
  /** The body of a POST. The request may be repeated, so it must be idempotent, unless it is a part. */
  readonly content?: string;
  /** Any other body; each try opens it anew. */
  readonly body?: RequestBody;
  readonly limit: { readonly name: string; readonly bytes: number };
  /** The statuses that are accepted; any other is HTTP_STATUS. */
  readonly statuses: readonly number[];
  /** Decodes a body that the server has coded with gzip though the request did not ask for it. The limit holds before and after. */
  readonly decodes?: boolean;
};

export type HttpDocument = {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly url: string;
  readonly body: Uint8Array;
};

/** Receives the bytes of a download. Bytes that it already has are not requested again. */
export type Sink = {
  readonly bytes: number;
  readonly validator: Validator | undefined;
  readonly total: number | undefined;
  restart(about: { validator?: Validator; total?: number }): Promise<void>;
  /** The memory of the chunks may be used again once this resolves. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
};

/** A range of a body that comes by itself. */
export type BodyRange = {
  /** The positions of its first byte and of the first byte behind it. */
  readonly from: number;
  readonly to: number;
  readonly body: RangedBody;
};

/** A version of a body: without a validator, its digest is known in advance. */
export type RangedBody = { readonly total: number; readonly validator: Validator | undefined };

/** Ranges of a body that come over further connections while its beginning is downloaded. */
export type RangesAhead = {
  /** Bytes of ranges that the download has not reached yet. */
  readonly bytes: number;
  /** Bytes that were received, used or not. */
  readonly received: number;
  /** Called when the body of an accepted answer begins at a position. Ranges of another version are given up; without `body`, all. */
  begin(body: RangedBody | undefined, position: number): void;
  /** Called when the download has reached a position. */
  advance(position: number): void;
  /** Called when the download waits for a limit of the rate: further connections would share it. */
  limited(): void;
  /** The first position, from this one on, where a range has bytes or is coming; Infinity if there is none. */
  nextFrom(position: number): number;
  /** The bytes of ranges from a position on, as they come; ends where the download has to go on by itself. */
  read(position: number): AsyncIterable<Uint8Array>;
};

export type DownloadRequest = RequestOptions & {
  /** Only this range is downloaded; the sink gets it. Any other answer than that ends the download with RESPONSE_INVALID. */
  readonly range?: BodyRange;
  /** Used where the size of the body is known, and it has a strong validator or is `immutable`. */
  readonly ahead?: RangesAhead;
  /** The digest of the body is known in advance: a download is resumed without a validator, from whichever server. */
  readonly immutable?: boolean;
  /** The size of the whole body in bytes, if known in advance: any other size is SIZE_MISMATCH. */
  readonly size?: number;
  readonly sink: Sink;
  /** The validators of an earlier download. They make the request conditional when the sink is empty. */
  readonly known?: { readonly etag?: string; readonly lastModified?: string };
  /**
   * Called after the headers of an accepted answer; `resumedFrom` is 0 if the download begins at the start. `goesOn`: nothing has failed,
   * the bytes come over another connection from here on.
   */
  readonly onStart?: (start: {
    readonly total?: number;
    readonly resumedFrom: number;
    readonly goesOn?: boolean;
  }) => void | Promise<void>;
  /** Called after every append with the number of bytes in the sink. */
  readonly onProgress?: (bytes: number) => void;
};

export type Downloaded =
  | { readonly kind: 'not-modified'; readonly freshness: Freshness }
  | {
      readonly kind: 'complete';
      /** The number of bytes in the sink. */
      readonly bytes: number;
      /** The number of bytes that this call received. */
      readonly transferred: number;
      /** The number of responses that the bytes are from; those of earlier runs count as one. More than 1 after a resume. */
      readonly responses: number;
      readonly freshness: Freshness;
    };

/** Work of several requests, which are its parts. */
export type Repeated = Pick<RequestOptions, 'url' | 'observer'> & {
  /** Called after each failed try; true if it has achieved so much that tries are counted anew. */
  readonly hasProgressed?: (error: unknown) => boolean;
};

/** What decides for how long a stored answer is used, and how it is revalidated. */
export type Freshness = { readonly etag?: string; readonly lastModified?: string; readonly maxAgeMs: number };

export type Http = AsyncDisposable & {
  /** Gets a small body, with redirects and retries. */
  getDocument(request: DocumentRequest, signal: AbortSignal): Promise<HttpDocument>;
  /** Downloads a large body into a sink and resumes as often as needed. When this rejects, the sink keeps its bytes. */
  download(request: DownloadRequest, signal: AbortSignal): Promise<Downloaded>;
  /** Does work that consists of several requests again as long as it fails as a request may. */
  repeat<T>(repeated: Repeated, attempt: () => Promise<T>, signal: AbortSignal): Promise<T>;
  close(): Promise<void>;
};

/** Time and randomness, passed in so that a test controls them. */
export type Clock = {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds on a clock that never goes back. */
  readonly monotonic: () => number;
  /** A number in 0..1. */
  readonly random: () => number;
  /** Rejects with the signal's reason. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};
