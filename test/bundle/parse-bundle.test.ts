import test from 'ava';
import fc from 'fast-check';

import {
  blobFile,
  type Bundle,
  type BundledArchive,
  type BundledImage,
  type BundledProof,
  formatBundle,
  proofFile,
  tarFile,
  toBundledProof,
} from '../../src/bundle/bundle.ts';
import { parseBundle } from '../../src/bundle/parse-bundle.ts';
import type { Digest } from '../../src/image/digest.ts';
import type { ImageId } from '../../src/image/image-id.ts';
import { fits } from '../helpers/schemas.ts';

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
const digests = hex(64).map((digits) => `sha256:${digits}` as Digest);
const ids = hex(128).map((digits) => `sha512-${digits}` as ImageId);
const sizes = fc.nat();
const texts = fc.string({ unit: 'binary-ascii', maxLength: 40 });

const descriptors = fc.record({
  mediaType: fc.constant('application/vnd.oci.image.manifest.v1+json'),
  digest: digests,
  size: sizes,
});
const proofs: fc.Arbitrary<BundledProof> = fc
  .tuple(
    fc.record({ digest: digests, size: fc.nat(1000), covers: digests, signedBy: fc.array(texts, { maxLength: 3 }) }),
    fc.oneof(
      fc.record({ kind: fc.constantFrom('openpgp', 'simple-signing', 'sigstore-bundle') }),
      fc.record(
        { kind: fc.constant('cosign-key'), signature: texts, logEntry: texts, timestamp: texts },
        { requiredKeys: ['kind', 'signature'] },
      ),
      fc.record(
        {
          kind: fc.constant('cosign-certificate'),
          signature: texts,
          certificate: texts,
          chain: texts,
          logEntry: texts,
        },
        { requiredKeys: ['kind', 'signature', 'certificate'] },
      ),
    ),
  )
  .map(([about, one]) => ({ ...about, ...one }));

const provenance = {
  source: texts,
  latest: fc.boolean(),
  proofs: fc.uniqueArray(proofs, { maxLength: 2, selector: ({ digest }) => digest }),
};
const archives: fc.Arbitrary<BundledArchive> = fc
  .record(
    {
      ...{
        imageId: ids,
        name: fc.constantFrom('example.com/app', 'example.com/base'),
        size: sizes,
        digest: digests,
        transferred: sizes,
      },
      labels: fc.dictionary(fc.constantFrom('os', 'arch', 'version'), texts).map((all) => new Map(Object.entries(all))),
      ...provenance,
    },
    { requiredKeys: ['imageId', 'name', 'size', 'digest', 'labels', 'source', 'latest', 'proofs'] },
  )
  .map((one) => one as BundledArchive);
const tags = fc.constantFrom('docker.io/library/busybox:1', 'localhost:5000/team/app:latest', '[::1]:5000/app:1');
const platforms = fc.record(
  { os: fc.constant('linux'), architecture: fc.constant('arm'), variant: fc.constant('v7') },
  { requiredKeys: ['os', 'architecture'] },
);
const images: fc.Arbitrary<BundledImage> = fc
  .tuple(
    fc.record({
      reference: fc.oneof(
        tags,
        fc.tuple(tags, digests).map(([tag, digest]) => `${tag}@${digest}`),
      ),
      manifest: descriptors,
      ...provenance,
    }),
    fc.oneof(
      fc.record({ platform: platforms }),
      fc.record({
        platforms: fc.array(platforms, { maxLength: 3 }),
        platform: fc.constant({ os: '', architecture: '' }),
      }),
    ),
    fc.record({ index: descriptors, oci: descriptors }, { requiredKeys: [] }),
    fc.uniqueArray(
      fc
        .tuple(
          descriptors,
          fc.record(
            { artifactType: texts, subject: digests, tag: texts },
            { requiredKeys: ['artifactType', 'subject'] },
          ),
        )
        .map(([one, two]) => ({ ...one, ...two })),
      { maxLength: 2, selector: ({ digest }) => digest },
    ),
  )
  .map(([one, platform, documents, referrers]) => ({ ...one, ...platform, ...documents, referrers }));
const bundles: fc.Arbitrary<Bundle> = fc.record({
  archives: fc.uniqueArray(archives, { maxLength: 3, selector: ({ imageId }) => imageId }),
  images: fc.uniqueArray(images, { maxLength: 3, selector: ({ reference }) => reference }),
  leftOut: fc.uniqueArray(fc.oneof(digests, ids), { maxLength: 3 }),
});

test('what is written is read again, fits its schema, and is the same in whichever order it was given', (t) => {
  fc.assert(
    fc.property(bundles, (bundle) => {
      const text = formatBundle(bundle);
      fits(t, text);
      const parsed = parseBundle(Buffer.from(text));
      if (!parsed.ok) throw new Error(`${parsed.problem}: ${text}`);
      t.is(formatBundle(parsed.bundle), text);
      t.deepEqual(parsed.bundle.leftOut, bundle.leftOut.toSorted());
      const turned = {
        archives: bundle.archives.toReversed(),
        images: bundle.images.toReversed(),
        leftOut: bundle.leftOut.toReversed(),
      };
      t.is(formatBundle(turned), text);
    }),
    { numRuns: 200 },
  );
});

const id = `sha512-${'a'.repeat(128)}` as ImageId;
const digest = `sha256:${'b'.repeat(64)}` as Digest;
const archive = { imageID: id, name: 'example.com/app', labels: {}, size: 1, digest, source: '/app.aci' };
const image = {
  ...{ reference: 'docker.io/library/app:1', platform: { os: 'linux', architecture: 'amd64' }, source: '' },
  manifest: { mediaType: 'm', digest, size: 1 },
};
const proof = { kind: 'openpgp', digest, size: 1, covers: digest, signedBy: [] };

test('whatever else is there in its place is refused, with the member named', (t) => {
  const problemOf = (change: object): string => {
    const document = { schema: 'longshore.bundle/1', archives: [archive], images: [image], ...change };
    const parsed = parseBundle(Buffer.from(JSON.stringify(document)));
    return parsed.ok ? '' : parsed.problem;
  };
  t.is(problemOf({}), '');
  t.is(problemOf({ later: 1, archives: [{ ...archive, later: 1 }] }), '', 'what a later version adds');
  for (const [change, problem] of [
    [{ schema: 'longshore.bundle/2' }, /schema must be longshore.bundle\/1/],
    [{ archives: undefined }, /archives is missing/],
    [{ archives: [archive, archive] }, /archives\[1\].imageID is there twice/],
    [{ images: [image, image] }, /images\[1\].reference is there twice/],
    [{ archives: [{ ...archive, imageID: id.slice(1) }] }, /archives\[0\].imageID is no image ID/],
    [{ archives: [{ ...archive, name: '../x' }] }, /archives\[0\].name/],
    [{ archives: [{ ...archive, size: -1 }] }, /archives\[0\].size/],
    [{ archives: [{ ...archive, proofs: [{ ...proof, kind: 'policy' }] }] }, /proofs\[0\].kind is of a kind/],
    [{ archives: [{ ...archive, proofs: [{ ...proof, kind: 'cosign-key' }] }] }, /proofs\[0\].signature is missing/],
    [{ archives: [{ ...archive, proofs: [{ ...proof, size: 2 ** 21 }] }] }, /proofs\[0\].size must be/],
    [{ archives: [{ ...archive, proofs: Array.from({ length: 65 }, () => proof) }] }, /proofs is too long/],
    [{ images: [{ ...image, reference: 'app:1' }] }, /images\[0\].reference must be a complete reference/],
    [{ images: [{ ...image, reference: 'docker.io/library/app' }] }, /images\[0\].reference must be/],
    [{ images: [{ ...image, reference: 'docker://docker.io/library/app:1' }] }, /images\[0\].reference must be/],
    [{ images: [{ ...image, platforms: [] }] }, /images\[0\] must have either/],
    [
      { images: [{ ...image, manifest: { ...image.manifest, digest: 'sha256:../../x' } }] },
      /manifest.digest is no digest/,
    ],
    [{ leftOut: ['x'] }, /leftOut\[0\]/],
  ] as const)
    t.regex(problemOf(change), problem);
  for (const text of [
    '',
    '[]',
    '{"schema":"longshore.bundle/1","schema":"longshore.bundle/1"}',
    '{'.repeat(100),
    '\ufeff{}',
  ])
    t.false(parseBundle(Buffer.from(text)).ok, text);
});

test('an archive may have labels that are as long as its manifest allows', (t) => {
  const labels = new Map([
    ['note', 'x'.repeat(500_000)],
    ...Array.from({ length: 5000 }, (_, at) => [`l${at}`, ''] as const),
  ]);
  const { imageID: imageId, ...rest } = archive;
  const bundle = { archives: [{ ...rest, imageId, labels, latest: false, proofs: [] }], images: [], leftOut: [] };
  const parsed = parseBundle(Buffer.from(formatBundle(bundle)));
  if (!parsed.ok) return t.fail(parsed.problem);
  t.deepEqual(Object.fromEntries(parsed.bundle.archives[0]?.labels ?? []), Object.fromEntries(labels));
});

test('files are found by digests and image IDs, so no path of a sender is ever used', (t) => {
  t.is(blobFile(digest), `blobs/sha256/${'b'.repeat(64)}`);
  t.is(proofFile(digest), `longshore/proofs/sha256/${'b'.repeat(64)}`);
  t.is(tarFile(id), `longshore/blobs/sha512/${'a'.repeat(128)}`);
});

test('a proof of the store becomes one of a bundle, but for the word of a policy', (t) => {
  const common = { bytes: Buffer.from('abc'), covers: digest, signedBy: ['x'] };
  const about = { digest, size: 3, covers: digest, signedBy: ['x'] };
  t.is(toBundledProof({ ...common, kind: 'policy' }, digest), undefined);
  t.deepEqual(toBundledProof({ ...common, kind: 'openpgp', digests: [Buffer.from('1')] }, digest), {
    kind: 'openpgp',
    ...about,
  });
  const cosign = {
    ...common,
    kind: 'cosign-certificate',
    signature: 's',
    certificate: 'c',
    chain: 'h',
    logEntry: 'l',
    log: 'verified',
  } as const;
  t.deepEqual(toBundledProof(cosign, digest), {
    kind: 'cosign-certificate',
    ...about,
    signature: 's',
    certificate: 'c',
    chain: 'h',
    logEntry: 'l',
  });
});
