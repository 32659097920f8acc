import { rm } from 'node:fs/promises';

import type { IngestResponse } from '../../../workers/ingest/requests.ts';
import type { VerifySignatureResponse } from '../../../workers/tasks.ts';
import { parseDigest } from '../../image/digest.ts';
import { checkExpected } from '../../image/expected.ts';
import type { Proof } from '../../image/proof.ts';
import type { Commit, Remote, StoredImage } from '../../store/store.ts';
import type { FetchContext, Wanted } from '../context.ts';
import { checkSigners, checkTransferred } from '../lock.ts';

type Admission = {
  readonly checked: Checked;
  /** A URL without credentials and query, or a path. */
  readonly source: string;
  readonly latest: boolean;
  /** The entry for the URL cache. */
  readonly remote?: { readonly url: string; readonly record: Omit<Remote, 'imageId'> };
};

/** Commits a checked image with its source and verification in one transaction. Removes its file if that fails. */
export async function admit(
  { store }: FetchContext,
  { checked, source, latest, remote }: Admission,
): Promise<StoredImage> {
  const { ingested, image, verification, proofs } = checked;
  const { imageId, parsed, size, digest, manifest, stamp, archive, archiveBytes, compression } = ingested;
  const commit: Commit = {
    path: image,
    stamp,
    image: {
      imageId,
      name: parsed.name,
      labels: parsed.labels,
      dependencies: parsed.dependencies,
      size,
      digest,
      source,
      latest,
      verified: verification?.signedBy ?? false,
      weak: verification?.weak ?? false,
    },
    manifest,
    proofs,
    ...(archive && { archive: { ...archive, digest: parseDigest(digest), size: archiveBytes, compression } }),
    ...(remote && { remote: { url: remote.url, record: { imageId, ...remote.record } } }),
  };
  return store.commit(commit).catch(async (error: unknown) => {
    await rm(image, { force: true });
    throw error;
  });
}

/** A detached signature, and the digests that were computed while the archive was read, or the path of the archive. */
export type SignatureToCheck = {
  readonly signature: Uint8Array;
  readonly location: string;
  readonly digests?: readonly Uint8Array[];
  readonly archive?: string;
};

/** What an ingest found, and the file with the archive as it was transferred, if the store is to take that. */
export type Ingested = IngestResponse & { readonly archive?: Pick<NonNullable<Commit['archive']>, 'path' | 'stamp'> };

/** @param path - of the copy of the archive that was asked for, if one was. */
export function withCopy(ingested: IngestResponse, path: string | undefined): Ingested {
  const { archiveStamp: stamp } = ingested;
  return path === undefined || !stamp ? ingested : { ...ingested, archive: { path, stamp } };
}

type CheckRequest = {
  readonly key: string;
  readonly ingested: Ingested;
  /** The path of the uncompressed tar that the ingest wrote. */
  readonly image: string;
  readonly expected: Wanted;
  /** If undefined, the image is not verified. */
  readonly proof: SignatureToCheck | undefined;
};

/** An image that has passed all checks and may be committed. */
export type Checked = {
  readonly ingested: Ingested;
  readonly image: string;
  readonly verification: VerifySignatureResponse | undefined;
  /** What is kept of the verification. */
  readonly proofs: readonly Proof[];
};

/** Checks an image against the request, then its signature with the keys that are trusted for the image's own name. */
export async function check(context: FetchContext, request: CheckRequest): Promise<Checked> {
  const { key, ingested, image, expected, proof } = request;
  const { imageId, size, steps } = ingested;
  context.onEvent({ type: 'ingested', key, imageID: imageId, size, steps });
  checkExpected({ ...ingested, ...ingested.parsed }, expected);
  checkTransferred(expected.held, ingested.digest);
  if (!proof || !context.verifier) return { ingested, image, verification: undefined, proofs: [] };

  const { verifier } = context;
  const early = ingested.verification;
  if (early) verifier.noteSkipped(early);
  const verification = early ?? (await verifier.verifyArchive({ name: ingested.parsed.name, ...proof }));
  const { signedBy, identities } = verification;
  checkSigners(expected.held, signedBy);
  context.onEvent({ type: 'verified', key, signedBy, identities });
  const digests = verification.digests ?? proof.digests ?? [];
  const kept = { kind: 'openpgp', bytes: proof.signature, digests, covers: ingested.digest, signedBy } as const;
  return { ingested, image, verification, proofs: [kept] };
}
