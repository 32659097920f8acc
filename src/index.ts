export { isHttpsAuthentic, openFetchPool } from './compose.ts';
export type { PlanOutcome, PlanStatus, PlanTotals } from './coordinator/plan-batch.ts';
export {
  asImageError,
  type ErrorCode,
  type ErrorData,
  type ErrorDetails,
  fromErrorData,
  hasCode,
  ImageError,
  isImageError,
  toErrorData,
} from './errors.ts';
export type { BatchEvent, EventSink, Outcome, OutcomeStatus, Totals } from './events.ts';
export type { Keep, ImageLock as Lock, PullPolicy } from './fetchers/context.ts';
export { createFetcher, createFinder } from './finder.ts';
export type { TlsMaterial } from './http/contract.ts';
export { isAcIdentifier } from './image/ac-identifier.ts';
export { type App, type AppInput, type Apps, createApps, type ImageType } from './image/apps.ts';
export { configInvalid, isNoRegularFile, listConfigDirectory, readConfigFile } from './image/config-file.ts';
export { type Digest, isDigest } from './image/digest.ts';
export { makeScratch, readError, writeError } from './image/file-error.ts';
export { type ImageId, isImageId, shortImageId } from './image/image-id.ts';
export { describeJsonPlace, parseJsonStrict } from './image/json.ts';
export { defaultLabels } from './image/labels.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './image/limits.ts';
export { parsePlatform, toGoPlatform } from './image/platform.ts';
export { parseReference, showReference } from './image/reference.ts';
export { trustName } from './image/registry-reference.ts';
export { checkShape, formatFieldFault } from './image/shape.ts';
export { show, showUrl, showUrlsIn } from './image/show.ts';
export { isHttpUrl } from './image/url.ts';
export type { BlobProblem, ImagesContext } from './images/check-blob.ts';
export { collect, type CollectReport, type CollectRequest } from './images/collect.ts';
export {
  exportImage,
  exportRegistryImage,
  exportRegistryImageToDirectory,
  exportRegistryImageToStream,
  type ExportRequest,
  exportToStream,
  type RegistryExport,
} from './images/export.ts';
export {
  extractImage,
  type ExtractionReport,
  type ExtractionRequest,
  type ExtractRequest,
  renderImage,
  type RenderRequest,
} from './images/extract.ts';
export { type Entry, type ImageRow, imageRow, listImages, type ListRequest, type SortField } from './images/list.ts';
export { openRepaired, type Relisted, relistImages, type Repaired } from './images/relist.ts';
export { type Removal, removeImages } from './images/remove.ts';
export {
  requireImage,
  requireRegistryImage,
  resolveEntries,
  resolveEntry,
  resolveImage,
} from './images/resolve-image.ts';
export {
  catManifest,
  describeImage,
  describeRegistryImage,
  type ImageDescription,
  type RegistryDescription,
  type StoredDependency,
} from './images/show.ts';
export { type Damage, verifyImages, type VerifyReport, type VerifyRequest } from './images/verify.ts';
export type { BlobDamage, Repair } from './images/verify-blobs.ts';
export { writeFileTarget } from './images/write-file.ts';
export { createKeyFinder } from './key-finder.ts';
export type {
  ActionOptions,
  BatchCall,
  BatchResult,
  FetchCall,
  Fetcher,
  Finder,
  Insecure,
  KeyFinder,
  NetworkOptions,
  PlanCall,
  PlanResult,
} from './options.ts';
export { createFileCheck } from './parse-apps.ts';
export { openPool, type Pool } from './pool/pool.ts';
export { type HostCertificates, readCertificates } from './registry/certificates.ts';
export { type CredentialChainOptions, openCredentialChain } from './registry/credentials/chain.ts';
export { type CredentialFile, credentialFiles } from './registry/credentials/files.ts';
export { type Lookasides, type LookasideSources, readLookasides } from './registry/lookaside.ts';
export type { SignaturePlace } from './registry/parse-registries-d.ts';
export type { CredentialLookup, Mirror, MirrorRule, RegistryCredential } from './registry/types.ts';
export { type LostBlob, lostBlobs, openStore } from './store/open-store.ts';
export type { GarbageReport, Store, StoredImage, StoreOptions } from './store/store.ts';
export type { Keystore } from './verify/keystore.ts';
export { listTrustedKeys, type TrustedKeyRow } from './verify/list-trusted-keys.ts';
export { openKeystore } from './verify/open-keystore.ts';
export { trustKeys, type TrustOutcome } from './verify/trust.ts';
