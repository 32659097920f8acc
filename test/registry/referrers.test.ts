import test from 'ava';
import * as fc from 'fast-check';

import { isImageError } from '../../src/errors.ts';
import { parseAnyManifest } from '../../src/registry/manifest.ts';
import { nextPage } from '../../src/registry/referrers.ts';
import { types } from '../helpers/registry.ts';

const path = `referrers/sha256:${'a'.repeat(64)}`;
const url = `https://registry.example/v2/app/${path}`;

test('the next page of a list is one of the same list at the same registry, however the link is written', (t) => {
  const query = '?n=1&last=x';
  const ofItself = [
    url + query,
    `http${url.slice('https'.length)}${query}`,
    `${url.replace('/v2', ':5000/v2')}${query}`,
  ];
  for (const target of [query, `/v2/app/${path}${query}`, ...ofItself, `${url.replace(':a', '%3Aa')}${query}`])
    for (const link of [`<${target}>; rel="next"`, `<${target}>;rel=next`, `<${target}>; title="x"; rel="next"`])
      t.is(nextPage(link, url, `${path}?n=1`), query, link);
  for (const link of [undefined, '', 'next', `<${url}>`, `<${url}>; rel="first"`])
    t.is(nextPage(link, url, path), undefined);
  for (const target of [
    'https://other.example/v2/app/x',
    '/v2/other/tags/list',
    'http://registry.example/',
    'https://',
  ])
    t.throws(() => nextPage(`<${target}>; rel="next"`, url, path), { code: 'MANIFEST_INVALID' }, target);
});

test('whatever a registry says of its pages, another origin is never asked', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.webUrl({ withQueryParameters: true })), (target) => {
      try {
        const query = nextPage(`<${target}>; rel="next"`, url, path);
        return query === undefined || query === '' || query.startsWith('?');
      } catch (error) {
        return isImageError(error);
      }
    }),
  );
  t.pass();
});

test('a manifest of any kind is read with all blobs that it names, or refused', (t) => {
  const digest = fc.stringMatching(/^sha256:[0-9a-f]{64}$/);
  const descriptor = fc.record({ mediaType: fc.string(), digest, size: fc.nat() });
  const manifest = fc.record(
    {
      schemaVersion: fc.constant(2),
      mediaType: fc.constant(types.manifest),
      artifactType: fc.string(),
      config: descriptor,
      layers: fc.array(descriptor, { maxLength: 4 }),
      blobs: fc.array(descriptor, { maxLength: 4 }),
      subject: fc.oneof(descriptor, fc.string(), fc.constant(null)),
    },
    { requiredKeys: ['schemaVersion', 'mediaType', 'config'] },
  );
  fc.assert(
    fc.property(manifest, (value) => {
      try {
        const content = parseAnyManifest(Buffer.from(JSON.stringify(value)), types.manifest, 8);
        if (content.kind === 'index') return false;
        const named = [value.config, ...(value.layers ?? []), ...(value.blobs ?? [])].map((one) => one.digest);
        const read = [...(content.config ? [content.config] : []), ...content.layers].map((one) => one.digest);
        return JSON.stringify(read) === JSON.stringify(named);
      } catch (error) {
        return isImageError(error);
      }
    }),
  );
  const foreign = {
    mediaType: types.layer,
    digest: `sha256:${'0'.repeat(64)}`,
    size: 1,
    urls: ['https://elsewhere.example'],
  };
  const image = { schemaVersion: 2, config: { ...foreign, urls: [] }, layers: [foreign] };
  t.throws(() => parseAnyManifest(Buffer.from(JSON.stringify(image)), types.manifest, 8), { code: 'MANIFEST_INVALID' });
});
