export type { TrustedAuthority } from '../workers/tasks.ts';
export { isHttpsAuthentic, openFetchPool } from './compose.ts';
export type { PlanOutcome, PlanStatus, PlanTotals } from './coordinator/plan-batch.ts';
export {
  asImageError,
  type ErrorCode,
  type ErrorDetails,
  fromErrorData,
  hasCode,
  ImageError,
  isImageError,
  toErrorData,
} from './errors.ts';
export type { BatchEvent, EventSink, Outcome, OutcomeStatus, Totals } from './events.ts';
export type { PushOutcome, PushTotals } from './events/push.ts';
export type { OtherSide } from './export/bundle-contents.ts';
export type { ManyExport } from './export/export-images.ts';
export type { Wanted } from './export/select.ts';
export type { ArchivePeerLookup, ImageLock as Lock, LockedImage, PullPolicy, Sharing } from './fetchers/context.ts';
export { lockedImages } from './fetchers/lock.ts';
export { createFetcher, createFinder } from './finder.ts';
export { isAcIdentifier, isWithinPrefix } from './image/ac-identifier.ts';
export { type AppInput, isOfRegistry } from './image/apps.ts';
export { configInvalid, isNoRegularFile, listConfigDirectory, readConfigFile } from './image/config-file.ts';
export { type Digest, isDigest } from './image/digest.ts';
export { makeScratch, readError, writeError } from './image/file-error.ts';
export { type ImageId, isImageId, shortId, shortImageId } from './image/image-id.ts';
export { defaultLabels } from './image/labels.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './image/limits.ts';
export { parsePlatformChoice, toGoPlatform } from './image/platform.ts';
export { type Names, parseReference, referenceKey, showReference } from './image/reference.ts';
export { isTrustName, parseNamedReference, parseRegistryReference, trustName } from './image/registry-reference.ts';
export { checkConfig, checkShape, formatFieldFault, parseConfigJson } from './image/shape.ts';
export { show, showUrl, showUrlsIn } from './image/show.ts';
export type { AcceptedKeys, SigningKey } from './image/sigstore/dsse.ts';
export {
  compileRule,
  formatRule,
  type IdentityRule,
  isPlain,
  isRuleFile,
  parseIdentity,
} from './image/sigstore/identity.ts';
export { isHttpUrl, toUri } from './image/url.ts';
export type { ImagesContext } from './images/check-blob.ts';
export { collect, type CollectReport } from './images/collect.ts';
export { exportImage, exportRegistryImage, exportRegistryImageToStream, exportToStream } from './images/export.ts';
export { extractImage, type ExtractionReport, renderImage } from './images/extract.ts';
export { type Entry, imageRow, listImages, type ListRequest } from './images/list.ts';
export { prune, type PruneReport, type ToKeep } from './images/prune.ts';
export { openRepaired, type Relisted, relistImages, type Repaired } from './images/relist.ts';
export { removeImages } from './images/remove.ts';
export {
  blobsOf,
  checkAsked,
  preferArchive,
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
export { writeFileTarget } from './images/write-file.ts';
export { fileSource, type ImportSource } from './import/receive.ts';
export { createKeyFinder } from './key-finder.ts';
export type { ActionOptions, BatchResult, Fetcher, Finder, Insecure } from './options.ts';
export { createFileChecks } from './parse-apps.ts';
export { openPool, type Pool } from './pool/pool.ts';
export { parseDestination, requireDistinctTargets, targetOf } from './push/targets.ts';
export { createPusher, type Pusher, type PushInput } from './pusher.ts';
export { readCertificates } from './registry/certificates.ts';
export { openCredentialChain } from './registry/credentials/chain.ts';
export { credentialFiles } from './registry/credentials/files.ts';
export { readLookasides } from './registry/lookaside.ts';
export { isLoopbackName } from './registry/place.ts';
export type { MirrorRule, PeerLookup } from './registry/types.ts';
export { getTrustedRoot } from './root-updater.ts';
export { type LostBlob, lostBlobs, openStore } from './store/open-store.ts';
export type { Store } from './store/store.ts';
export { type Judgement, judgeStored } from './verify/judge-stored.ts';
export { storedForms } from './verify/key-directory.ts';
export type { KeyFile, Keystore } from './verify/keystore.ts';
export { listTrustedKeys, type TrustedKeyRow } from './verify/list-trusted-keys.ts';
export { openKeystore } from './verify/open-keystore.ts';
export { openPolicy, readPolicy } from './verify/policy/open-policy.ts';
export { type OpenPolicy as Policy, requirementsOf } from './verify/policy/policy.ts';
export { trustKeys, type TrustOutcome, writeKey } from './verify/trust.ts';
export { createVerifier } from './verify/verify.ts';

/** What writes many images: loaded by itself, since no other command needs it. */
export const loadExport = async () => {
  const [{ exportImages }, { select }] = await Promise.all([
    import('./export/export-images.ts'),
    import('./export/select.ts'),
  ]);
  return { exportImages, select };
};

/** What reads rules of identities from files: loaded by itself, since it loads zod. */
export const loadRules = () => import('./image/sigstore/parse-rule.ts');

/** What signs documents, and verifies them: loaded by itself, since few runs want it. */
export const loadSigning = () => import('./image/sigstore/dsse.ts');
