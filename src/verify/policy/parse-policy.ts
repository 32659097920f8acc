import * as z from 'zod';

import type { CertifiedBy, SignedIdentity } from '../../../workers/tasks.ts';
import { isRegistryHost, isRepository, parseNamedReference } from '../../image/registry-reference.ts';
import { checkConfig, parseConfigJson } from '../../image/shape.ts';
import { show } from '../../image/show.ts';
import { isAbsolutePath } from '../../system/files.ts';
import type { KeySource, PolicyRules, Requirement } from './policy.ts';

const path = z.string().refine(isAbsolutePath, 'must be an absolute path');
const paths = z.array(path).min(1, 'names no file');

/** Base64, perhaps in lines. */
const data = z.string().transform((text, context) => {
  const joined = text.replaceAll(/[\r\n]/g, '');
  if (joined.length > 0 && joined.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(joined))
    return Buffer.from(joined, 'base64');
  context.addIssue('must be base64');
  return z.NEVER;
});
const datas = z.array(data).min(1, 'holds nothing');

const reference = z
  .string()
  .refine((text) => parseNamedReference(text) !== undefined, 'must be a reference: HOST/NAME:TAG or HOST/NAME@DIGEST');
const exact = reference.refine((text) => {
  const { tag, digest } = parseNamedReference(text) ?? {};
  return tag !== undefined || digest !== undefined;
}, 'must have a tag or a digest');
const prefix = z.string().refine((text) => {
  const [host = '', ...parts] = text.split('/');
  return isRegistryHost(host) && (parts.length === 0 || isRepository(parts.join('/')));
}, 'must be HOST[:PORT], or that with a namespace or a repository');

const identity = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.enum(['matchExact', 'matchRepoDigestOrExact', 'matchRepository']) }),
    z.strictObject({ type: z.literal('exactReference'), dockerReference: exact }),
    z.strictObject({ type: z.literal('exactRepository'), dockerRepository: reference }),
    z.strictObject({ type: z.literal('remapIdentity'), prefix, signedPrefix: prefix }),
  ],
  { error: unknownType('signedIdentity') },
);

const signedBy = z
  .strictObject({
    type: z.literal('signedBy'),
    keyType: z.literal('GPGKeys'),
    keyPath: path.optional(),
    keyPaths: paths.optional(),
    keyData: data.optional(),
    signedIdentity: identity.optional(),
  })
  .check(exactlyOne('keyPath', 'keyPaths', 'keyData'));

const fulcio = z
  .strictObject({
    caPath: path.optional(),
    caData: data.optional(),
    oidcIssuer: z.string().min(1),
    subjectEmail: z.string().min(1).optional(),
    buildSignerURI: z.string().min(1).optional(),
  })
  .check(exactlyOne('caPath', 'caData'), oneOrMore('subjectEmail', 'buildSignerURI'));

const pki = z
  .strictObject({
    caRootsPath: path.optional(),
    caRootsData: data.optional(),
    caIntermediatesPath: path.optional(),
    caIntermediatesData: data.optional(),
    subjectHostname: z.string().min(1).optional(),
    subjectEmail: z.string().min(1).optional(),
  })
  .check(
    exactlyOne('caRootsPath', 'caRootsData'),
    atMostOne('caIntermediatesPath', 'caIntermediatesData'),
    oneOrMore('subjectHostname', 'subjectEmail'),
  );

const rekorKeys = ['rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas'] as const;

const sigstoreSigned = z
  .strictObject({
    type: z.literal('sigstoreSigned'),
    keyPath: path.optional(),
    keyPaths: paths.optional(),
    keyData: data.optional(),
    keyDatas: datas.optional(),
    fulcio: fulcio.optional(),
    pki: pki.optional(),
    rekorPublicKeyPath: path.optional(),
    rekorPublicKeyPaths: paths.optional(),
    rekorPublicKeyData: data.optional(),
    rekorPublicKeyDatas: datas.optional(),
    signedIdentity: identity.optional(),
  })
  .check(
    exactlyOne('keyPath', 'keyPaths', 'keyData', 'keyDatas', 'fulcio', 'pki'),
    atMostOne(...rekorKeys),
    z.refine<Members>(
      (value) => !value['fulcio'] || count(value, rekorKeys) > 0,
      `needs one of ${rekorKeys.join(', ')} with fulcio`,
    ),
    z.refine<Members>(
      (value) => !value['pki'] || count(value, rekorKeys) === 0,
      'has a rekor key, which does not go with pki',
    ),
  );

const requirement = z.discriminatedUnion(
  'type',
  [z.strictObject({ type: z.enum(['insecureAcceptAnything', 'reject']) }), signedBy, sigstoreSigned],
  { error: unknownType('requirement') },
);
const requirements = z.array(requirement).min(1, 'has no requirement');
const shape = z.strictObject({
  default: requirements,
  transports: z.record(z.string(), z.record(z.string(), requirements)).optional(),
});

/**
 * Parses a policy. What it says of other transports than `docker` is checked, and left out.
 *
 * @throws CONFIG_INVALID with the path and the place in it: for a member or a type that is not known too
 * @see containers-policy.json(5)
 */
export function parsePolicy(path: string, bytes: Uint8Array): PolicyRules {
  const policy = checkConfig(path, shape, parseConfigJson(path, bytes, { caseSensitive: true }));
  const scopes = Object.entries(policy.transports?.['docker'] ?? {});
  return {
    default: requirementsFrom(policy.default, 'default'),
    docker: new Map(
      scopes.map(([scope, all]) => [scope, requirementsFrom(all, `transports.docker["${show(scope, 300)}"]`)]),
    ),
  };
}

function requirementsFrom(all: z.infer<typeof requirements>, place: string): readonly Requirement[] {
  return all.map((one, index) => requirementFrom(one, `${place}[${index}]`));
}

function requirementFrom(one: z.infer<typeof requirement>, place: string): Requirement {
  switch (one.type) {
    case 'insecureAcceptAnything':
    case 'reject':
      return one;
    case 'signedBy': {
      const { type, signedIdentity, keyPath, keyPaths = [], keyData } = one;
      const keys = sources(place, [keyPath, ...keyPaths, keyData]);
      return { type, keys, logKeys: [], identity: signedIdentity ?? usualIdentity };
    }
    case 'sigstoreSigned': {
      const { type, signedIdentity, keyPath, keyPaths = [], keyData, keyDatas = [], ...log } = one;
      const { rekorPublicKeyPath, rekorPublicKeyPaths = [], rekorPublicKeyData, rekorPublicKeyDatas = [] } = log;
      const certified = certifiedBy(one, place);
      return {
        type,
        keys: sources(place, [keyPath, ...keyPaths, keyData, ...keyDatas]),
        logKeys: sources(place, [
          rekorPublicKeyPath,
          ...rekorPublicKeyPaths,
          rekorPublicKeyData,
          ...rekorPublicKeyDatas,
        ]),
        identity: signedIdentity ?? usualIdentity,
        ...(certified && { certified }),
      };
    }
  }
}

function certifiedBy(
  { fulcio, pki }: z.infer<typeof sigstoreSigned>,
  place: string,
): CertifiedBy<KeySource> | undefined {
  if (fulcio) {
    const { caPath, caData, oidcIssuer: issuer, subjectEmail: email, buildSignerURI: buildSigner } = fulcio;
    return {
      roots: sources(place, [caPath, caData]),
      between: [],
      signer: { kind: 'fulcio', issuer, email, buildSigner },
    };
  }
  if (!pki) return undefined;
  const { caRootsPath, caRootsData, caIntermediatesPath, caIntermediatesData } = pki;
  return {
    roots: sources(place, [caRootsPath, caRootsData]),
    between: sources(place, [caIntermediatesPath, caIntermediatesData]),
    signer: { kind: 'pki', email: pki.subjectEmail, hostname: pki.subjectHostname },
  };
}

const usualIdentity: SignedIdentity = { type: 'matchRepoDigestOrExact' };

function sources(place: string, all: readonly (string | Uint8Array | undefined)[]): readonly KeySource[] {
  return all.flatMap((source) => {
    if (source === undefined) return [];
    return typeof source === 'string' ? { path: source, place } : { data: source, place };
  });
}

type Members = Readonly<Record<string, unknown>>;
type CheckMembers = z.core.$ZodCheck<Members>;

function exactlyOne(...names: readonly string[]): CheckMembers {
  return z.refine<Members>((value) => count(value, names) === 1, {
    error: ({ input }) =>
      `must have exactly one of ${names.join(', ')}, and has ${count(input as Members, names) === 0 ? 'none' : 'several'}`,
  });
}

function atMostOne(...names: readonly string[]): CheckMembers {
  return z.refine<Members>((value) => count(value, names) <= 1, `has more than one of ${names.join(', ')}`);
}

function oneOrMore(...names: readonly string[]): CheckMembers {
  return z.refine<Members>((value) => count(value, names) > 0, `needs ${names.join(' or ')}`);
}

function count(value: Members, names: readonly string[]): number {
  return names.filter((name) => value[name] !== undefined).length;
}

/** What is said of a `type` that is not known. */
function unknownType(what: string): z.core.$ZodErrorMap {
  return ({ code, input }) => {
    if (code !== 'invalid_union' || typeof input !== 'object' || input === null) return undefined;
    const type: unknown = 'type' in input ? input.type : undefined;
    return typeof type === 'string' ? `is of a type that is not known: ${what} "${show(type, 60)}"` : 'has no type';
  };
}
