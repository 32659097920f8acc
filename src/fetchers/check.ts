import { checkExpected, type Expected } from '../image/expected.ts';
import { verifyArchive } from '../verify/verify-archive.ts';
import type { IngestResponse, VerifySignatureResponse } from '../../workers/tasks.ts';
import type { FetchContext } from './context.ts';

/** A detached signature and what it is over: digests made while the archive was read, or the archive itself. */
export type Proof = {
  readonly signature: Uint8Array;
  readonly location: string;
  readonly digests?: readonly Uint8Array[];
  readonly archive?: string;
};

export type CheckRequest = {
  readonly key: string;
  readonly ingested: IngestResponse;
  /** Path of the uncompressed tar that the ingest wrote. */
  readonly image: string;
  readonly expected: Expected;
  /** Absent: the image is not verified. */
  readonly proof: Proof | undefined;
};

/** An image that may become visible. */
export type Checked = {
  readonly ingested: IngestResponse;
  readonly image: string;
  readonly verification: VerifySignatureResponse | undefined;
};

/** Checks what came against what was asked for, then its signature against the keys trusted for its own name. */
export async function check(context: FetchContext, request: CheckRequest): Promise<Checked> {
  const { key, ingested, image, expected, proof } = request;
  const { imageId, size, steps } = ingested;
  context.onEvent({ type: 'ingested', key, imageID: imageId, size, steps });
  checkExpected({ ...ingested, ...ingested.parsed }, expected);
  if (!proof || !context.keystore) return { ingested, image, verification: undefined };

  const { keystore, pool, weakKeys, limits, nowMs } = context;
  const verification = await verifyArchive(
    { keystore, pool, weakKeys, signatures: limits.signatures, nowMs },
    { name: ingested.parsed.name, ...proof },
  );
  const { signedBy, identities } = verification;
  context.onEvent({ type: 'verified', key, signedBy, identities });
  return { ingested, image, verification };
}
