export type { PlanFacts, PlanOutcome, PlanQuota, PlanStatus, PlanTotals } from './coordinator/plan-batch.ts';
export type { ErrorCode, ErrorData, ErrorDetails, ImageErrorWith, Keepable } from './errors.ts';
export { hasCode, ImageError, isImageError } from './errors.ts';
export type {
  BatchEvent,
  CancelledOutcome,
  EventSink,
  FailedOutcome,
  HostQuota,
  HostTraffic,
  Outcome,
  OutcomeFacts,
  OutcomeStatus,
  StoredOutcome,
  Totals,
} from './events.ts';
export type { PushFacts, PushOutcome, PushStatus, PushTotals } from './events/push.ts';
export type { ImageLock, LockedImage, PullPolicy } from './fetchers/context.ts';
export type {
  HeaderFields,
  RequestBody,
  TlsMaterial,
  Transport,
  TransportRequest,
  TransportResponse,
} from './http/contract.ts';
export type { App, AppInput, Apps, ImageType, Keep, Mount, SharedByApps, Volume } from './image/apps.ts';
export type { Digest } from './image/digest.ts';
export type { ImageId } from './image/image-id.ts';
export type { Limits, Timeouts } from './image/limits.ts';
export type { GoPlatform } from './image/platform.ts';
export type { ExtractionReport } from './images/extract.ts';
export type { ImageRow, SortField } from './images/list.ts';
export { createApps, createFetcher, createFinder, createPusher, openPool } from './library/finder.ts';
export { openKeystore, openPolicy } from './library/keystore.ts';
export { openStore } from './library/store.ts';
export type {
  ActionOptions,
  CallOptions,
  CollectOptions,
  ExportOptions,
  ExtractOptions,
  Fetcher,
  Finder,
  GarbageReport,
  Keystore,
  KeystoreOptions,
  Policy,
  PolicyOptions,
  Pool,
  PoolOptions,
  PruneOptions,
  PruneReport,
  Pusher,
  PusherOptions,
  Store,
  StoreOptions,
  TrustedKey,
  TrustOptions,
  VerifyReport,
} from './library/types.ts';
export type {
  BatchCall,
  BatchResult,
  FetchCall,
  FetchSettings,
  ImportCall,
  Insecure,
  PlanCall,
  PlanResult,
  ProxyOptions,
} from './options.ts';
export type { PushCall, PushInput, PushResult, PushSettings } from './pusher.ts';
export type { HostCertificates } from './registry/certificates.ts';
export type { Lookasides } from './registry/lookaside.ts';
export type { SignaturePlace } from './registry/parse-registries-d.ts';
export type { CredentialLookup, Mirror, MirrorRule, RegistryCredential } from './registry/types.ts';
export type { TrustedKeyRow } from './verify/list-trusted-keys.ts';
