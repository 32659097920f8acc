import { createHash, X509Certificate } from 'node:crypto';

import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toTrustMaterial } from '@sigstore/verify';
import * as z from 'zod';

import { configInvalid } from '../../src/image/config-file.ts';
import { checkConfig, parseConfigJson } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import type { TrustedAuthority, TrustedRootFile } from '../tasks.ts';

/** Certificates and keys of authorities, as `@sigstore/verify` takes them. */
export type Authorities = ReturnType<typeof toTrustMaterial>;

const mediaTypes = [
  'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  'application/vnd.dev.sigstore.trustedroot+json;version=0.2',
  'application/vnd.dev.sigstore.trustedroot.v0.2+json',
];

/** The most authorities of one kind, and certificates in one chain. */
const most = 64;
const base64 = z.base64().min(1);
const time = z.iso.datetime({ offset: true });
const validFor = z.strictObject({ start: time.optional(), end: time.optional() });
const logId = z.strictObject({ keyId: base64 });
const log = z.strictObject({
  baseUrl: z.string().optional(),
  hashAlgorithm: z.string(),
  publicKey: z.strictObject({ rawBytes: base64, keyDetails: z.string(), validFor: validFor.optional() }),
  logId,
  checkpointKeyId: logId.optional(),
  operator: z.string().optional(),
});
const authority = z.strictObject({
  subject: z.strictObject({ organization: z.string().optional(), commonName: z.string().optional() }).optional(),
  uri: z.string().optional(),
  certChain: z.strictObject({
    certificates: z
      .array(z.strictObject({ rawBytes: base64 }))
      .min(1)
      .max(most),
  }),
  validFor: validFor.optional(),
  operator: z.string().optional(),
});
const shape = z.strictObject({
  mediaType: z.literal(mediaTypes),
  tlogs: z.array(log).max(most).optional(),
  certificateAuthorities: z.array(authority).max(most).optional(),
  ctlogs: z.array(log).max(most).optional(),
  timestampAuthorities: z.array(authority).max(most).optional(),
});

let last: { readonly bytes: Buffer; readonly authorities: Authorities } | undefined;

/**
 * Reads a trusted root. What this version does not know refuses it: that might limit whom it trusts.
 *
 * @throws CONFIG_INVALID
 * @see sigstore protobuf-specs, sigstore_trustroot.proto
 */
export function readAuthorities({ path, bytes }: TrustedRootFile): Authorities {
  if (last?.bytes.equals(bytes)) return last.authorities;
  const value = checkConfig(path, shape, parseConfigJson(path, bytes, { caseSensitive: true }));
  const authorities = convert(path, value);
  last = { bytes: Buffer.from(bytes), authorities };
  return authorities;
}

function convert(path: string, value: unknown): Authorities {
  try {
    const root = TrustedRoot.fromJSON(value);
    for (const { certChain } of [...root.certificateAuthorities, ...root.timestampAuthorities])
      for (const { rawBytes } of certChain?.certificates ?? []) new X509Certificate(rawBytes); // throws for what is none
    return toTrustMaterial(root);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw configInvalid(path, `an authority in it can't be used: ${show(why)}`, error);
  }
}

/** Whom a trusted root trusts, for people. @throws CONFIG_INVALID as readAuthorities */
export function listAuthorities(file: TrustedRootFile): readonly TrustedAuthority[] {
  readAuthorities(file);
  const root = TrustedRoot.fromJSON(JSON.parse(Buffer.from(file.bytes).toString()));
  const logsOf = (kind: TrustedAuthority['kind'], logs: typeof root.tlogs) =>
    logs.map(({ baseUrl, publicKey }) => describeAuthority(kind, baseUrl, publicKey?.rawBytes, publicKey?.validFor));
  const issuersOf = (kind: TrustedAuthority['kind'], authorities: typeof root.certificateAuthorities) =>
    authorities.map(({ uri, subject, certChain, validFor }) =>
      describeAuthority(kind, uri || (subject?.commonName ?? ''), certChain?.certificates.at(-1)?.rawBytes, validFor),
    );
  return [
    ...issuersOf('certificates', root.certificateAuthorities),
    ...logsOf('log of certificates', root.ctlogs),
    ...logsOf('log of signatures', root.tlogs),
    ...issuersOf('time stamps', root.timestampAuthorities),
  ];
}

function describeAuthority(
  kind: TrustedAuthority['kind'],
  name: string,
  key: Uint8Array = new Uint8Array(),
  validFor?: { readonly start?: Date | undefined; readonly end?: Date | undefined },
): TrustedAuthority {
  const { start, end } = validFor ?? {};
  return {
    kind,
    name,
    fingerprint: createHash('sha256').update(key).digest('hex'),
    ...(start && { from: start.toISOString() }),
    ...(end && { until: end.toISOString() }),
  };
}
