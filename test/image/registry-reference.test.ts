import test from 'ava';

import { hasCode, ImageError } from '../../src/errors.ts';
import { parseRegistryReference, registryImageName } from '../../src/image/registry-reference.ts';

const S = 'ea0d1389812f43e474c50155ec4914e1b48792d420820c15cab28c0794034950';

/** id, text after docker://, host, repository, tag, digest. */
const good: readonly (readonly [string, string, string, string, (string | undefined)?, string?])[] = [
  ['U1', 'busybox', 'docker.io', 'library/busybox', 'latest'],
  ['U2', 'busybox:1', 'docker.io', 'library/busybox', '1'],
  ['U3', 'library/busybox', 'docker.io', 'library/busybox', 'latest'],
  ['U4', 'docker.io/library/busybox:1', 'docker.io', 'library/busybox', '1'],
  ['U5', 'docker.io/busybox', 'docker.io', 'library/busybox', 'latest'],
  ['U6', 'quay.io/coreos/etcd:v2.3.0', 'quay.io', 'coreos/etcd', 'v2.3.0'],
  ['U7', 'gcr.io/google-samples/node-hello:1.0', 'gcr.io', 'google-samples/node-hello', '1.0'],
  ['U8', 'gcr.io/busybox', 'gcr.io', 'busybox', 'latest'],
  ['U9', 'localhost/foo', 'localhost', 'foo', 'latest'],
  ['U10', 'localhost:5000/foo:bar', 'localhost:5000', 'foo', 'bar'],
  ['U11', 'host:5000/a/b/c:t', 'host:5000', 'a/b/c', 't'],
  ['U12', 'host/a:t', 'docker.io', 'host/a', 't'],
  ['U13', `alpine@sha256:${S}`, 'docker.io', 'library/alpine', undefined, `sha256:${S}`],
  ['U14', `quay.io/coreos/etcd@sha256:${S}`, 'quay.io', 'coreos/etcd', undefined, `sha256:${S}`],
  ['tag and digest', `alpine:3@sha256:${S}`, 'docker.io', 'library/alpine', '3', `sha256:${S}`],
  ['U18', 'foo.com/bar:Tag_1.2-x', 'foo.com', 'bar', 'Tag_1.2-x'],
  ['U21', '/foo', 'docker.io', 'library/foo', 'latest'],
  ['U24', 'foo__bar', 'docker.io', 'library/foo__bar', 'latest'],
  ['U26', 'foo--bar', 'docker.io', 'library/foo--bar', 'latest'],
  ['U30', '192.168.1.1:5000/foo', '192.168.1.1:5000', 'foo', 'latest'],
  ['U33', 'foo.com', 'docker.io', 'library/foo.com', 'latest'],
  ['U35', `foo:${'t'.repeat(128)}`, 'docker.io', 'library/foo', 't'.repeat(128)],
  ['U36', 'a/b/c/d/e', 'docker.io', 'a/b/c/d/e', 'latest'],
  ['U49', 'registry-1.docker.io/busybox', 'docker.io', 'library/busybox', 'latest'],
  ['U50', 'localhost/library/foo', 'localhost', 'library/foo', 'latest'],
  ['host in upper case', 'Quay.IO/a', 'quay.io', 'a', 'latest'],
  ['IPv6', '[::1]:5000/a/b:1', '[::1]:5000', 'a/b', '1'],
  ['IPv6 without port', '[fe80::1]/a', '[fe80::1]', 'a', 'latest'],
  ['an image called sha256', 'sha256:1', 'docker.io', 'library/sha256', '1'],
  ['255 characters', `foo.com/${'a'.repeat(247)}`, 'foo.com', 'a'.repeat(247), 'latest'],
];

const bad: readonly (readonly [string, string])[] = [
  ['U15', 'alpine@sha256:abc'],
  ['U16', 'alpine@md5:d41d8cd98f00b204e9800998ecf8427e'],
  ['U17', 'Busybox'],
  ['U19', 'foo:.bad'],
  ['U20', 'foo:1:2'],
  ['U21', '//foo'],
  ['U22', 'foo/'],
  ['U23', 'foo//bar'],
  ['U25', 'foo___bar'],
  ['U27', 'foo..bar'],
  ['U28', '-foo'],
  ['U29', ''],
  ['U31', 'user:pass@host/foo'],
  ['U32', 'busybox:'],
  ['U34', 'https://foo.com/bar'],
  ['U35', `foo:${'t'.repeat(129)}`],
  ['U37', 'host.com:abc/foo'],
  ['U38', 'foo/Bar'],
  ['U39', 'foo:-bad'],
  ['U40', 'foo:tag/with'],
  ['U41', 'foo/../bar'],
  ['U42', 'foo-_bar'],
  ['U42', 'foo._bar'],
  ['U42', 'foo-'],
  ['U42', '_foo'],
  ['U42', 'foo.'],
  ['U43', `@sha256:${S}`],
  ['U44', 'user@host/foo'],
  ['U45', '-host.com/foo'],
  ['U45', 'host.com:/foo'],
  ['U46', 'foo.com/'],
  ['U47', 'LOCALHOST/foo'],
  ['U48', 'bücher.com/foo'],
  ['U48', 'foo:tagé'],
  ['digest in upper case', `alpine@sha256:${S.toUpperCase()}`],
  ['digest without a name', `sha256:${S}`],
  ['bare hex', S],
  ['port 0', 'host:0/foo'],
  ['port 65536', 'host:65536/foo'],
  ['no IPv6', '[::g]/foo'],
  ['brackets without an address', '[]:5000/foo'],
  ['underscore in a host', 'my_host.com/foo'],
  ['256 characters', `foo.com/${'a'.repeat(248)}`],
  ['query', 'foo?x=y'],
  ['newline', 'foo\n'],
  ['megabytes', 'a'.repeat(1 << 20)],
];

test('registry references are parsed as docker does', (t) => {
  for (const [id, rest, host, repository, tag, digest] of good) {
    const text = `docker://${rest}`;
    const expected = { kind: 'registry', text, host, repository, ...(tag && { tag }), ...(digest && { digest }) };
    t.deepEqual<unknown, unknown>(parseRegistryReference(text), expected, id);
  }
});

test('malformed registry references are refused', (t) => {
  for (const [id, rest] of bad)
    t.true(
      hasCode(
        t.throws(() => parseRegistryReference(`docker://${rest}`)),
        'REFERENCE_INVALID',
      ),
      id,
    );
});

test('a password is not repeated in the message, whatever it contains', (t) => {
  for (const rest of ['user:secret@host/foo', 'user:sec/secret@host/foo', `u:secret@x@sha256:${S}`]) {
    const error = t.throws(() => parseRegistryReference(`docker://${rest}`), { instanceOf: ImageError });
    t.notRegex(JSON.stringify([error.message, error.details]), /secret/, rest);
  }
});

test('a converted image is named after its registry and repository', (t) => {
  const cases = [
    ['docker://redis:7', 'registry-1.docker.io/library/redis'],
    ['docker://index.docker.io/team/app', 'registry-1.docker.io/team/app'],
    ['docker://quay.io/coreos/etcd:v2.3.0', 'quay.io/coreos/etcd'],
    ['docker://localhost:5000/x', 'localhost_5000/x'],
  ] as const;
  for (const [text, name] of cases) t.is(registryImageName(parseRegistryReference(text)), name);
});
