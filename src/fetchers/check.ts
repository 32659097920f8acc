import { ImageError } from '../errors.ts';
import type { Labels } from '../image/labels.ts';
import { show } from '../image/show.ts';
import { verifyArchive } from '../verify/verify-archive.ts';
import type { IngestResponse, VerifySignatureResponse } from '../../workers/tasks.ts';
import type { FetchContext } from './context.ts';

/** What was asked for, as far as the request says it. @see docs/rules.md D7, D9 */
export type Expected = {
  readonly name?: string;
  readonly labels?: Labels;
  /** Labels that nobody asked for: what the image says of them must agree, but it may be silent. */
  readonly defaults?: Labels;
  /** A pin: an image ID, or the beginning of one. */
  readonly imageId?: string;
  /** Bytes of the uncompressed image. */
  readonly size?: number;
};

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
  context.onEvent({ type: 'ingested', key, imageID: ingested.imageId, size: ingested.size });
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

/** What is compared with a request: facts that an ingest and the store both know. */
export type Facts = Pick<IngestResponse, 'imageId' | 'size'> & { readonly name: string; readonly labels: Labels };

/** @throws NAME_MISMATCH, LABEL_MISMATCH, IMAGE_ID_MISMATCH, SIZE_MISMATCH */
export function checkExpected({ name, labels, imageId, size }: Facts, expected: Expected): void {
  if (expected.name !== undefined && name !== expected.name) {
    const details = { asked: expected.name, found: name };
    throw new ImageError('NAME_MISMATCH', `the image is called ${show(name)}, not ${show(expected.name)}`, details);
  }
  for (const [label, asked] of expected.labels ?? []) mustAgree(label, asked, labels.get(label));
  for (const [label, asked] of expected.defaults ?? []) mustAgree(label, asked, labels.get(label) ?? asked);
  if (expected.imageId !== undefined && !imageId.startsWith(expected.imageId)) {
    const details = { asked: expected.imageId, found: imageId };
    throw new ImageError('IMAGE_ID_MISMATCH', `the image is ${imageId}, pinned was ${show(expected.imageId)}`, details);
  }
  if (expected.size !== undefined && size !== expected.size) {
    const details = { asked: expected.size, found: size };
    throw new ImageError('SIZE_MISMATCH', `the image has ${size} bytes, ${expected.size} were announced`, details);
  }
}

function mustAgree(label: string, asked: string, found: string | undefined): void {
  if (found === asked) return;
  const details = { label, asked, ...(found !== undefined && { found }) };
  const has = found === undefined ? 'the image has no such label' : `the image has ${show(found)}`;
  throw new ImageError('LABEL_MISMATCH', `label ${show(label)}: ${show(asked)} was asked for, ${has}`, details);
}
