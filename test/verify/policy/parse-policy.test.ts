import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { parsePolicy } from '../../../src/verify/policy/parse-policy.ts';

const anything = [{ type: 'insecureAcceptAnything' }];
const key = Buffer.from('a key').toString('base64');
const signedBy = { type: 'signedBy', keyType: 'GPGKeys', keyData: key };
const sigstore = { type: 'sigstoreSigned', keyData: key };
const parse = (policy: unknown) =>
  parsePolicy('/policy.json', Buffer.from(typeof policy === 'string' ? policy : JSON.stringify(policy)));
const withRequirement = (requirement: unknown) => ({ default: [requirement] });
const withIdentity = (signedIdentity: unknown) => withRequirement({ ...signedBy, signedIdentity });

test('all forms of requirements are read', (t) => {
  const { default: others, docker } = parse({
    default: [{ type: 'reject' }],
    transports: {
      docker: {
        '': anything,
        'docker.io/library': [
          { ...signedBy, keyData: undefined, keyPaths: ['/a', '/b'], signedIdentity: { type: 'matchRepository' } },
          { ...sigstore, keyData: undefined, keyDatas: [key, key] },
        ],
      },
      dir: { '/tmp': anything },
      unheard: { of: anything },
    },
  });
  t.deepEqual(others, [{ type: 'reject' }]);
  t.deepEqual([...docker.keys()], ['', 'docker.io/library']);
  const place = 'transports.docker["docker.io/library"]';
  t.deepEqual(docker.get('docker.io/library'), [
    {
      type: 'signedBy',
      keys: [
        { path: '/a', place: `${place}[0]` },
        { path: '/b', place: `${place}[0]` },
      ],
      logKeys: [],
      identity: { type: 'matchRepository' },
    },
    {
      type: 'sigstoreSigned',
      keys: [
        { data: Buffer.from('a key'), place: `${place}[1]` },
        { data: Buffer.from('a key'), place: `${place}[1]` },
      ],
      logKeys: [],
      identity: { type: 'matchRepoDigestOrExact' },
    },
  ]);
});

test('certificates and keys of logs are read with who issues them and what they must say', (t) => {
  const fulcio = { caData: key, oidcIssuer: 'https://issuer', subjectEmail: 'a@example.com', buildSignerURI: 'b' };
  const pki = { caRootsPath: '/roots', caIntermediatesPath: '/between', subjectHostname: 'example.com' };
  const read = (requirement: object) => parse(withRequirement({ type: 'sigstoreSigned', ...requirement })).default[0];
  const [place, data] = ['default[0]', Buffer.from('a key')];
  t.like(read({ fulcio, rekorPublicKeyDatas: [key, key] }), {
    ...{ keys: [], logKeys: [{ data }, { data, place }] },
    certified: {
      ...{ roots: [{ data, place }], between: [] },
      signer: { kind: 'fulcio', issuer: 'https://issuer', email: 'a@example.com', buildSigner: 'b' },
    },
  });
  t.like(read({ pki }), {
    ...{ keys: [], logKeys: [] },
    certified: {
      ...{ roots: [{ path: '/roots', place }], between: [{ path: '/between', place }] },
      signer: { kind: 'pki', email: undefined, hostname: 'example.com' },
    },
  });
  t.like(read({ keyData: key, rekorPublicKeyPaths: ['/log'] }), { keys: [{ data }], logKeys: [{ path: '/log' }] });
  t.false('certified' in (read({ keyData: key }) ?? {}));
});

const bad: Readonly<Record<string, readonly [unknown, RegExp]>> = {
  'no JSON': ['{', /line|JSON/],
  'a list': [[], /must be an object/],
  'a key twice': ['{"default":[{"type":"reject"}],"default":[{"type":"reject"}]}', /default.*twice|twice/],
  'no default': [{}, /default: is missing/],
  'an empty list of requirements': [{ default: [] }, /default: has no requirement/],
  'an unknown member': [{ default: anything, more: 1 }, /does not belong there: more/],
  'an unknown member of a requirement': [withRequirement({ type: 'reject', more: 1 }), /default\[0\]: .*: more/],
  'an unknown type': [
    withRequirement({ type: 'signedByNobody' }),
    /default\[0\]\.?.*not known: requirement "signedByNobody"/,
  ],
  'a type in another case': [withRequirement({ Type: 'reject' }), /has no type/],
  'transports that are null': [{ default: anything, transports: null }, /transports: must be an object/],
  'an empty scope list': [{ default: anything, transports: { docker: { 'a.b/c': [] } } }, /\["a\.b\/c"\]: has no/],
  'no key type': [withRequirement({ type: 'signedBy', keyData: key }), /keyType/],
  'another key type': [withRequirement({ ...signedBy, keyType: 'X509Certificates' }), /keyType: must be GPGKeys/],
  'no key': [
    withRequirement({ ...signedBy, keyData: undefined }),
    /exactly one of keyPath, keyPaths, keyData, and has none/,
  ],
  'two keys': [withRequirement({ ...signedBy, keyPath: '/a' }), /exactly one of .* has several/],
  'an empty path': [
    withRequirement({ ...signedBy, keyData: undefined, keyPath: '' }),
    /keyPath: must be an absolute path/,
  ],
  'a relative path': [
    withRequirement({ ...signedBy, keyData: undefined, keyPath: 'key.gpg' }),
    /keyPath: must be an absolute/,
  ],
  'a path with a NUL': [
    withRequirement({ ...sigstore, rekorPublicKeyPath: '/a\0b' }),
    /rekorPublicKeyPath: must be an absolute path/,
  ],
  'no paths': [withRequirement({ ...signedBy, keyData: undefined, keyPaths: [] }), /keyPaths: names no file/],
  'no base64': [withRequirement({ ...signedBy, keyData: 'äöü' }), /keyData: must be base64/],
  'key and fulcio': [
    withRequirement({
      ...sigstore,
      fulcio: { caData: key, oidcIssuer: 'i', subjectEmail: 's' },
      rekorPublicKeyData: key,
    }),
    /has several/,
  ],
  'fulcio without a log': [
    withRequirement({ type: 'sigstoreSigned', fulcio: { caData: key, oidcIssuer: 'i', subjectEmail: 's' } }),
    /needs one of rekorPublicKeyPath/,
  ],
  'fulcio without a subject': [
    withRequirement({ type: 'sigstoreSigned', fulcio: { caData: key, oidcIssuer: 'i' }, rekorPublicKeyData: key }),
    /needs subjectEmail or buildSignerURI/,
  ],
  'fulcio without an issuer': [
    withRequirement({ type: 'sigstoreSigned', fulcio: { caData: key, subjectEmail: 's' }, rekorPublicKeyData: key }),
    /oidcIssuer/,
  ],
  'pki with a log': [
    withRequirement({ type: 'sigstoreSigned', pki: { caRootsData: key, subjectEmail: 's' }, rekorPublicKeyData: key }),
    /does not go with pki/,
  ],
  'two logs': [
    withRequirement({ ...sigstore, rekorPublicKeyData: key, rekorPublicKeyPath: '/a' }),
    /more than one of rekorPublicKeyPath/,
  ],
  'an unknown identity': [withIdentity({ type: 'matchAnything' }), /not known: signedIdentity "matchAnything"/],
  'an identity that is null': [withIdentity(null), /signedIdentity/],
  'an exact reference without a tag': [
    withIdentity({ type: 'exactReference', dockerReference: 'docker.io/library/busybox' }),
    /dockerReference: must have a tag or a digest/,
  ],
  'a reference that is none': [
    withIdentity({ type: 'exactRepository', dockerRepository: 'A B' }),
    /must be a reference/,
  ],
  'a prefix with a tag': [
    withIdentity({ type: 'remapIdentity', prefix: 'docker.io/a:1', signedPrefix: 'docker.io' }),
    /prefix: must be HOST/,
  ],
  'no signed prefix': [withIdentity({ type: 'remapIdentity', prefix: 'docker.io' }), /signedPrefix/],
  'a fault in another transport': [
    { default: anything, transports: { dir: { '/tmp': [{ type: 'reject', more: 1 }] } } },
    /transports\.dir/,
  ],
};

for (const [what, [policy, pattern]] of Object.entries(bad)) {
  test(`refused, in one line that names the file and the place: ${what}`, (t) => {
    const error = t.throws(() => parse(policy));
    t.true(hasCode(error, 'CONFIG_INVALID'), String(error));
    t.regex(error.message, pattern);
    t.regex(error.message, /^"\/policy\.json": [^\n]*$/);
  });
}
