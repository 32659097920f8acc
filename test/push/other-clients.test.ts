import { createHash } from 'node:crypto';

import test from 'ava';

import { attachedTag, putAttached, serveReferrers } from '../helpers/attached.ts';
import { openPushing } from '../helpers/pushing.ts';
import { types } from '../helpers/registry.ts';

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const othersBytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, layers: [] }));
const others = { bytes: othersBytes, type: types.manifest };

for (const { when, knowsConditions, path } of [
  { when: 'while the blobs are sent', knowsConditions: false, path: /\/blobs\/uploads\/./ },
  { when: 'right before the manifest is put, where the registry knows conditions', knowsConditions: true, path: /./ },
]) {
  test(`with noOverwrite a tag that another client puts ${when} is left as it is`, async (t) => {
    const { registry, reference, fetch, push, target } = await openPushing(t, {
      knowsConditions,
      intercept({ method, url }) {
        const isLast = url.pathname === '/v2/app/manifests/1';
        if (method === 'PUT' && path.test(url.pathname) && isLast === knowsConditions)
          target.manifests.set('app:1', others);
        return false;
      },
    });
    const { digest } = registry.putImage('app', '1', { layers: ['one'] });
    await fetch(reference('app:1'));
    const { outcomes } = await push([reference('app:1')], { noOverwrite: true });
    const details = { target: `${target.host}/app:1`, asked: digest, found: digestOf(othersBytes) };
    t.like(outcomes[0], { status: 'failed', error: { code: 'TAG_EXISTS', details } });
    t.is(target.manifests.get('app:1'), others);
    t.is((await push([reference('app:1')])).outcomes[0]?.status, 'pushed', 'it may be moved without noOverwrite');
  });
}

test('two that add to one list at the same time lose nothing where the registry knows conditions', async (t) => {
  // both read the list before one of them writes it, and the other writes once that one has found its own
  let [reads, writes] = [0, 0];
  const [bothHaveRead, firstIsContent] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const [one, two] = await Promise.all(
    [1, 2].map(() =>
      openPushing(t, {
        knowsConditions: true,
        async intercept({ method, url, response }) {
          if (!url.pathname.includes('/manifests/sha256-')) return false;
          if (method === 'GET' && (reads += 1) === 2) bothHaveRead.resolve();
          if (method === 'GET' && reads === 3) response.once('finish', firstIsContent.resolve);
          if (method === 'PUT') await ((writes += 1) === 2 ? firstIsContent : bothHaveRead).promise;
          return false;
        },
      }),
    ),
  );
  if (!one || !two) return t.fail();
  const digests: string[] = [];
  let tag = '';
  for (const [at, { registry, fetch, reference }] of [one, two].entries()) {
    const image = registry.putImage('app', '1', { layers: ['the same'] });
    const sbom = putAttached(registry, 'app', { to: image, artifactType: `application/vnd.example.sbom-${at}` });
    serveReferrers(registry, 'app', { to: image, manifests: [sbom] });
    await fetch(reference('app:1'), { referrers: true, keep: 'oci' });
    digests.push(sbom.digest);
    tag = attachedTag(image);
  }
  const { target } = one;
  const pushed = await Promise.all(
    [one, two].map(({ push, reference }) => push([reference('app:1')], { to: `docker://${target.host}` })),
  );
  t.deepEqual(
    pushed.map(({ outcomes }) => outcomes[0]?.error ?? outcomes[0]?.status),
    ['pushed', 'pushed'],
  );
  const list = JSON.parse(target.manifests.get(`app:${tag}`)?.bytes.toString() ?? '{}') as {
    readonly manifests: readonly { readonly digest: string }[];
  };
  t.deepEqual(list.manifests.map(({ digest }) => digest).toSorted(), digests.toSorted());
});
