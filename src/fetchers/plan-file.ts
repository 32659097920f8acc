import type { FileReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import { signaturePath } from '../image/signature-location.ts';
import { ingestLimits } from '../pool/ingest-limits.ts';
import type { FetchContext, FetchRequest } from './context.ts';
import type { Planned } from './planned.ts';
import { getSignature, showSignature, type SignatureSource } from './signature.ts';

/** An archive on disk is read as far as its manifest. */
export async function planFile(
  context: FetchContext,
  { key, reference: { path }, signature: override }: FetchRequest<FileReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const { slots, pool, limits, keystore } = context;
  const request = { path, shown: show(path), limits: ingestLimits(limits) };
  const { name, labels, dependencies } = await slots.run(undefined, signal, () => pool.run('inspectArchive', request));
  const signature: SignatureSource = {
    kind: 'file',
    path: override ?? signaturePath(path),
    isNamed: override !== undefined,
  };
  if (keystore) await getSignature(context, key, signature, signal);
  return {
    status: 'absent',
    source: path,
    bytesToFetch: 0,
    ...(keystore && { signature: showSignature(signature) }),
    manifest: { name, labels, dependencies },
  };
}
