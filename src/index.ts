export { asImageError, fromErrorData, hasCode, ImageError, isImageError, toErrorData } from './errors.ts';
export type { ErrorCode, ErrorData, ErrorDetails } from './errors.ts';
export type { BatchEvent, EventSink, Outcome, OutcomeStatus, Totals } from './events.ts';
export { isAcIdentifier } from './image/ac-identifier.ts';
export { createApps, type App, type AppInput, type Apps, type ImageType } from './image/apps.ts';
export { defaultLabels } from './image/labels.ts';
export { isImageId, shortImageId, type ImageId } from './image/image-id.ts';
export { defaultLimits, defaultTimeouts } from './image/limits.ts';
export type { Limits, Timeouts } from './image/limits.ts';
export { configInvalid, isNoRegularFile, listConfigDirectory, readConfigFile } from './image/config-file.ts';
export { toGoPlatform } from './image/platform.ts';
export { showReference } from './image/reference.ts';
export { isHttpUrl } from './image/url.ts';
export { showUrl, showUrlsIn } from './image/show.ts';
export { checkShape, formatFieldFault } from './image/shape.ts';
export { show } from './image/show.ts';
export { makeScratch, readError, writeError } from './image/file-error.ts';
export { trustName } from './image/registry-reference.ts';
export { catManifest } from './images/show.ts';
export type { BlobProblem, ImagesContext } from './images/check-blob.ts';
export { collect, type CollectReport, type CollectRequest } from './images/collect.ts';
export { describeRegistryImage, type RegistryDescription } from './images/show.ts';
export { describeImage, type ImageDescription, type StoredDependency } from './images/show.ts';
export { extractImage, type ExtractRequest } from './images/extract.ts';
export type { ExtractionReport, ExtractionRequest } from './images/extract.ts';
export type { Entry } from './images/list.ts';
export {
  exportRegistryImage,
  exportRegistryImageToDirectory,
  exportRegistryImageToStream,
  type RegistryExport,
} from './images/export.ts';
export { exportToStream } from './images/export.ts';
export { exportImage, type ExportRequest } from './images/export.ts';
export { imageRow, type ImageRow } from './images/list.ts';
export { listImages, type ListRequest, type SortField } from './images/list.ts';
export { openRepaired, type Repaired } from './images/relist.ts';
export { relistImages, type Relisted } from './images/relist.ts';
export { removeImages, type Removal } from './images/remove.ts';
export { renderImage, type RenderRequest } from './images/extract.ts';
export {
  requireImage,
  requireRegistryImage,
  resolveEntries,
  resolveEntry,
  resolveImage,
} from './images/resolve-image.ts';
export { verifyImages, type Damage, type VerifyReport, type VerifyRequest } from './images/verify.ts';
export type { Repair } from './images/verify-blobs.ts';
export type { BlobDamage } from './images/verify-blobs.ts';
export { writeFileTarget } from './images/write-file.ts';
export { openFetchPool } from './compose.ts';
export { openPool, type Pool } from './pool/pool.ts';
export { lostBlobs, type LostBlob } from './store/open-store.ts';
export { openStore } from './store/open-store.ts';
export type { GarbageReport, Store, StoredImage, StoreOptions } from './store/store.ts';

export type { ActionOptions, BatchCall, BatchResult, FetchCall, Fetcher, Finder, Insecure } from './options.ts';
export type { KeyFinder, NetworkOptions, PlanCall, PlanResult } from './options.ts';
export type { PlanOutcome, PlanStatus, PlanTotals } from './coordinator/plan-batch.ts';
export type { Keep, PullPolicy, ImageLock as Lock } from './fetchers/context.ts';
export { createFetcher, createFinder } from './finder.ts';
export { describeJsonPlace, parseJsonStrict } from './image/json.ts';
export { parsePlatform } from './image/platform.ts';
export { readCertificates, type HostCertificates } from './registry/certificates.ts';
export type { Lookasides } from './registry/lookaside.ts';
export type { SignaturePlace } from './registry/parse-registries-d.ts';
export { readLookasides, type LookasideSources } from './registry/lookaside.ts';
export { openCredentialChain, type CredentialChainOptions } from './registry/credentials/chain.ts';
export { credentialFiles, type CredentialFile } from './registry/credentials/files.ts';
export type { CredentialLookup, Mirror, MirrorRule, RegistryCredential } from './registry/types.ts';
export { isDigest, type Digest } from './image/digest.ts';
export type { TlsMaterial } from './http/contract.ts';
export { createFileCheck } from './parse-apps.ts';
export { isHttpsAuthentic } from './compose.ts';
export { createKeyFinder } from './key-finder.ts';
export { parseReference } from './image/reference.ts';
export { openKeystore } from './verify/open-keystore.ts';
export { listTrustedKeys, type TrustedKeyRow } from './verify/list-trusted-keys.ts';
export { trustKeys, type TrustOutcome } from './verify/trust.ts';
export type { Keystore } from './verify/keystore.ts';
