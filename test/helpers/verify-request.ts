import { createSignatureDigests } from '../../workers/openpgp/digests.ts';
import { readCertificate } from '../../workers/openpgp/openpgp.ts';
import type { VerifySignatureRequest } from '../../workers/tasks.ts';

export type VerifyOptions = {
  readonly signature: Uint8Array;
  readonly archive: Uint8Array;
  /** Certificates, as the keystore gives them. */
  readonly trusted: readonly Uint8Array[];
  readonly weakKeys?: boolean;
  readonly nowMs?: number;
  readonly maximum?: number;
};

/** A request as an ingest and a keystore make it for one archive. */
export async function verifyRequest(options: VerifyOptions): Promise<VerifySignatureRequest> {
  const { signature, archive, trusted, weakKeys = false, nowMs = Date.now(), maximum = 64 } = options;
  const location = 'https://example.com/app.aci.asc';
  const digests = await createSignatureDigests(signature, { location, maximum });
  digests.update(archive);
  const keys = await Promise.all(
    trusted.map(async (certificate) => {
      const fingerprint = (await readCertificate(certificate)).getFingerprint();
      return { fingerprint, certificate, path: `/keys/${fingerprint}` };
    }),
  );
  return {
    signature,
    location,
    digests: digests.digests(),
    keys,
    name: 'example.com/app',
    searched: ['root', 'example.com', 'example.com/app'],
    weakKeys,
    nowMs,
    signatures: maximum,
  };
}
