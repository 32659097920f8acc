import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { asRegistryReference, type Names, parseReference, showReference } from '../../src/image/reference.ts';

const digest = `sha256:${'a'.repeat(64)}`;

function parse(text: string, names: Names, files: readonly string[] = []) {
  return parseReference(text, { directory: '/work', isFile: (path) => files.includes(path), names });
}

test('where names are of registries, what would be a name is read as docker reads it', (t) => {
  for (const [text, host, repository, rest] of [
    ['alpine', 'docker.io', 'library/alpine', { tag: 'latest' }],
    ['alpine:3.20', 'docker.io', 'library/alpine', { tag: '3.20' }],
    ['team/my_app:1', 'docker.io', 'team/my_app', { tag: '1' }],
    [`quay.io/org/app@${digest}`, 'quay.io', 'org/app', { digest }],
    ['localhost:5000/app', 'localhost:5000', 'app', { tag: 'latest' }],
  ] as const)
    t.deepEqual(parse(text, 'registry'), { kind: 'registry', text, host, repository, ...rest });
  t.is(parse('alpine:3.20', 'discovery').kind, 'name');
  t.throws(() => parse('example.com/app:1,os=linux', 'registry'), { code: 'REFERENCE_INVALID', message: /bad tag/ });
});

test('what says by its form what it is stays that', (t) => {
  for (const [text, kind] of [
    ['docker://alpine', 'registry'],
    ['https://example.com/a.aci', 'url'],
    ['./alpine', 'file'],
    ['app.aci', 'file'],
    ['alpine:3', 'file'],
    ['sha512-ab', 'id'],
    [digest, 'id'],
  ] as const)
    t.is(parse(text, 'registry', ['/work/alpine:3']).kind, kind, text);
});

test('a text that is no name, but the reference of an image of a registry, is refused with that reference', (t) => {
  for (const text of ['quay.io:443/team/app:1', `alpine@${digest}`, 'localhost:5000/app:1']) {
    const error = t.throws(() => parse(text, 'discovery'), { code: 'REFERENCE_INVALID' });
    t.true(hasCode(error, 'REFERENCE_INVALID') && error.details.didYouMean === `docker://${text}`, text);
  }
  const neither = t.throws(() => parse('a:b:c', 'discovery'));
  t.false(hasCode(neither, 'REFERENCE_INVALID') && 'didYouMean' in neither.details);
  t.is(asRegistryReference('example.com/app,version=1'), undefined);
});

test('a password before the host of a registry is not shown, with a scheme or without', (t) => {
  t.is(showReference('user:secret@quay.io/app:1'), 'quay.io/app:1');
  t.is(showReference('docker://user:secret@quay.io/app:1'), 'docker://quay.io/app:1');
  t.is(showReference(`localhost:5000/app@${digest}`), `localhost:5000/app@${digest}`);
  t.is(showReference(`app:1@${digest}`), `app:1@${digest}`);
});

test('references in the form of other programs are recognised, and the message gives the form to use', (t) => {
  const context = { directory: '/work', isFile: () => false };
  for (const text of ['127.0.0.1:5000/a/b:1', 'localhost:5000/a:1', `busybox@sha256:${'0'.repeat(64)}`]) {
    t.throws(() => parseReference(text, context), { code: 'REFERENCE_INVALID', message: /docker:\/\/HOST/ }, text);
  }
  const commands = {
    'oci:/images/a': 'longshore image import /images/a',
    'oci:a/b:1': 'longshore image import a/b',
    'docker-archive:a.tar': 'longshore image import a.tar',
    'oci-archive:./a.tar:app:1': 'longshore image import ./a.tar',
    'dir:/images': 'skopeo copy dir:/images docker://HOST/NAME:TAG, and ask for that',
    'docker-daemon:a:1': 'skopeo copy docker-daemon:a:1 docker://HOST/NAME:TAG, and ask for that',
  };
  for (const [text, command] of Object.entries(commands)) {
    const { message } = t.throws(() => parseReference(text, context), { code: 'REFERENCE_INVALID' });
    t.true(message.endsWith(command), message);
  }
  t.like(parseReference('oci:1.0', context), { kind: 'name', name: 'oci' });
});
