import test from 'ava';

import type { Proof } from '../../src/image/proof.ts';
import { openStore } from '../../src/store/open-store.ts';
import { openTestStore, prepareBlob } from '../helpers/blob.ts';
import { putRegistryImage } from '../helpers/registry-image.ts';

const covers = `sha256:${'a'.repeat(64)}`;
const openpgp = (signer: string, byte = 1): Proof => ({
  kind: 'openpgp',
  bytes: Buffer.of(byte),
  digests: [Buffer.of(2, 3), new Uint8Array()],
  covers,
  signedBy: [signer],
});
const cosign = (signer: string): Proof => ({
  kind: 'cosign-key',
  bytes: Buffer.from('payload'),
  signature: 'AAAA',
  covers,
  signedBy: [signer],
});

/** Proofs as they compare, whatever kind of buffer holds their bytes. */
function plain(proofs: readonly Proof[]): unknown {
  return JSON.parse(
    JSON.stringify(
      proofs.map((proof) => ({
        ...proof,
        bytes: Buffer.from(proof.bytes).toString('hex'),
        ...('digests' in proof && { digests: proof.digests.map((one) => Buffer.from(one).toString('hex')) }),
      })),
    ),
  );
}

test('the proofs of an image survive, a later one by the same signers takes the place of the earlier one, and they go with it', async (t) => {
  const store = await openTestStore(t);
  const commit = async (proofs: readonly Proof[]) =>
    store.commit({ ...(await prepareBlob(store, { content: Buffer.from('an image') })), proofs });
  const { imageId } = await commit([openpgp('aa')]);
  await commit([]);
  t.deepEqual(plain(await store.proofsOf(imageId)), plain([openpgp('aa')]));
  await commit([openpgp('aa', 9), openpgp('bb')]);
  t.deepEqual(plain(await store.proofsOf(imageId)), plain([openpgp('aa', 9), openpgp('bb')]));
  await store.close();

  await using again = await openStore({ dir: store.dir });
  t.is((await again.proofsOf(imageId)).length, 2);
  await again.remove(imageId);
  t.deepEqual(await again.proofsOf(imageId), []);
});

test('the proofs of a registry image belong to its reference, and to the manifest that it stands for', async (t) => {
  const store = await openTestStore(t);
  const image = await putRegistryImage(store, { proofs: [cosign('aa')] });
  const { reference } = image;
  t.deepEqual(plain(await store.proofsOf(reference)), plain([cosign('aa')]));
  await store.commitRegistryImage({ ...image, verified: false });
  t.is((await store.proofsOf(reference)).length, 1, 'the same manifest, unchecked');
  const [other = image.manifest.digest] = image.blobs.filter((blob) => blob !== image.manifest.digest);
  await store.commitRegistryImage({ ...image, manifest: { ...image.manifest, digest: other } });
  t.deepEqual(await store.proofsOf(reference), [], 'another manifest');
  await store.commitRegistryImage({ ...image, proofs: [cosign('bb')] });
  await store.removeRegistryImage(reference);
  t.deepEqual(await store.proofsOf(reference), []);
});
