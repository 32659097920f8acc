import { type TestDescriptor, type TestRegistry, types } from './registry.ts';

/** An index as buildx writes it: two platforms, each with the attestations of its image. */
export function putBuilt(registry: TestRegistry, name = 'app', tag = '1') {
  const attestation = (of: TestDescriptor) => {
    const statement = JSON.stringify({ _type: 'https://in-toto.io/Statement/v0.1', of: of.digest });
    const config = registry.putBlob(name, JSON.stringify({ architecture: 'unknown', os: 'unknown' }), types.config);
    const layers = [registry.putBlob(name, statement, 'application/vnd.in-toto+json')];
    return registry.putManifest(name, undefined, { schemaVersion: 2, mediaType: types.manifest, config, layers });
  };
  const images = ['amd64', 'arm64'].map((architecture) => {
    const { mediaType, digest, size } = registry.putImage(name, undefined, { architecture, layers: [architecture] });
    return { mediaType, digest, size, platform: { os: 'linux', architecture } };
  });
  const attestations = images.map((image) => ({
    ...attestation(image),
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: { 'vnd.docker.reference.digest': image.digest, 'vnd.docker.reference.type': 'attestation-manifest' },
  }));
  const manifests = [...images, ...attestations];
  const index = registry.putManifest(name, tag, { schemaVersion: 2, mediaType: types.index, manifests }, types.index);
  return { index, images, attestations };
}

/** A manifest that is attached to another one: as an artifact of OCI 1.1, or as cosign does it. */
export function putAttached(
  registry: TestRegistry,
  name: string,
  {
    to,
    tag,
    artifactType = 'application/vnd.example.sbom',
  }: { to?: TestDescriptor; tag?: string; artifactType?: string },
): TestDescriptor {
  const content = JSON.stringify({ artifactType, to: to?.digest, tag });
  return registry.putManifest(name, tag, {
    schemaVersion: 2,
    mediaType: types.manifest,
    artifactType,
    config: registry.putBlob(name, '{}', 'application/vnd.oci.empty.v1+json'),
    layers: [registry.putBlob(name, content, artifactType)],
    ...(to && { subject: { mediaType: to.mediaType, digest: to.digest, size: to.size } }),
  });
}

/** The answer of the referrers API, of pages of so many entries. */
export function serveReferrers(
  registry: TestRegistry,
  name: string,
  { to, manifests, pageSize = 100 }: { to: TestDescriptor; manifests: readonly TestDescriptor[]; pageSize?: number },
): void {
  const path = `/v2/${name}/referrers/${to.digest}`;
  registry.routes[path] = {
    handler(request, response) {
      const from = Number(new URL(request.url ?? '', registry.url).searchParams.get('last') ?? 0);
      const next = from + pageSize;
      const link = next < manifests.length ? { link: `<${path}?n=${pageSize}&last=${next}>; rel="next"` } : {};
      response.writeHead(200, { 'content-type': types.index, ...link });
      response.end(JSON.stringify(indexOf(manifests.slice(from, next))));
    },
  };
}

export function indexOf(manifests: readonly TestDescriptor[]): object {
  return { schemaVersion: 2, mediaType: types.index, manifests };
}

/** The tag of what is attached to a manifest. */
export function attachedTag({ digest }: Pick<TestDescriptor, 'digest'>, suffix = ''): string {
  return digest.replace(':', '-') + suffix;
}
