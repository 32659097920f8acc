import { ImageError, isImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { compileRule, formatIdentity, isRuleFile } from '../../src/image/sigstore/identity.ts';
import { parseRule } from '../../src/image/sigstore/parse-rule.ts';
import { lazy } from '../../src/system/single-flight.ts';
import type { TrustedKey, VerifyImageRequest, VerifyImageResponse } from '../tasks.ts';
import { hasSigned, type PublicKey, readTrustedPublicKeys } from './public-key.ts';
import { type CosignEvidence, readEvidence, type ReadSignature } from './read-evidence.ts';
import type { OpenAuthorities } from './sigstore.ts';

type Good = VerifyImageResponse['good'][number];

const sigstoreModule = lazy(() => import('./sigstore.ts'));

/**
 * Checks whether a trusted public key, or an identity that is trusted, has signed a statement about the requested image. One such
 * signature is enough. What a signature is over is read only after it was found valid.
 *
 * @throws SIGNATURE_UNREADABLE, SIGNATURE_INVALID, KEY_UNKNOWN; CONFIG_INVALID for the trusted root
 * @see docs/rules.md R6, S7
 */
export async function verifyCosign(
  request: VerifyImageRequest,
  evidence: readonly CosignEvidence[],
): Promise<VerifyImageResponse> {
  const { rules, others } = await readRules(request.keys);
  const { keys, skipped } = readTrustedPublicKeys(others);
  const { authorities } = request;
  const open = authorities && lazy(async () => (await sigstoreModule()).openAuthorities(authorities));
  if (authorities?.kind === 'policy') await open?.(); // what it names is at fault, and not a signature
  const trust: Trust = { keys, rules, request, ...(open && { authorities: open }) };
  const good: Good[] = [];
  let refusal: ImageError | undefined;
  for (const [index, one] of evidence.entries()) {
    let forged: ImageError | undefined;
    try {
      const read = readEvidence(one, request.documents ?? []);
      const named = keys.find(({ fingerprint }) => fingerprint === read.hint);
      if (named && !hasSigned(named, read.signed, read.signature)) forged = badSignature(named, one.location);
      const found = forged ? undefined : await judge(read, named, trust);
      const { document } = read;
      if (found) good.push({ index, ...found, ...(document !== undefined && { document }) });
    } catch (error) {
      if (!isImageError(error) || error.code === 'CONFIG_INVALID') throw error;
      refusal ??= error;
    }
    if (forged) throw forged;
  }
  const [first] = good;
  if (!first) throw refusal ?? keyUnknown(request);
  const signedBy = [...new Set(good.flatMap((one) => one.signedBy))];
  return { signedBy, identities: [], weak: false, skipped, good };
}

type Trust = {
  readonly keys: readonly PublicKey[];
  readonly rules: readonly Rule[];
  readonly request: VerifyImageRequest;
  /** Read when they are needed. */
  readonly authorities?: () => Promise<OpenAuthorities>;
};
type Rule = Awaited<ReturnType<typeof compileRule>>;

async function readRules(
  trusted: readonly TrustedKey[],
): Promise<{ readonly rules: readonly Rule[]; readonly others: readonly TrustedKey[] }> {
  const files = trusted.filter(({ certificate }) => isRuleFile(certificate));
  const rules = await Promise.all(
    files.map(({ certificate, path }) => compileRule(parseRule(certificate, path), path)),
  );
  return { rules, others: trusted.filter(({ certificate }) => !isRuleFile(certificate)) };
}

/**
 * @param named - the key that the signature names, which has made it
 * @returns undefined if nobody who is trusted has made the signature
 */
async function judge(
  read: ReadSignature,
  named: PublicKey | undefined,
  trust: Trust,
): Promise<Omit<Good, 'index'> | undefined> {
  const { signed, signature, location } = read;
  const keys = read.isKeyed ? trust.keys : [];
  const signer = named ?? keys.find((key) => hasSigned(key, signed, signature));
  if (signer) return judgeKeyed(read, signer, trust);
  if (!read.isCertified) return undefined;
  const authorities = await trust.authorities?.();
  if (authorities?.kind === 'policy') return judgeIssued(read, authorities, trust);
  const { name, searched } = trust.request;
  if (trust.rules.length > 0 && authorities) return judgeCertified(read, authorities.root, trust);
  const refused = (why: string, missing?: 'trustedRoot'): ImageError =>
    new ImageError('KEY_UNKNOWN', `signed with a certificate, ${why} (${location})`, {
      ...{ signers: [], searched, name },
      ...(missing && { missing }),
    });
  if (trust.rules.length > 0)
    throw refused('and there is no trusted root to verify that with: trusted_root.json', 'trustedRoot');
  throw refused(`and not with a key, and no identity is trusted for ${show(name)}`);
}

async function judgeKeyed(
  read: ReadSignature,
  { fingerprint, key }: PublicKey,
  { request, authorities: open }: Trust,
): Promise<Omit<Good, 'index'>> {
  const checked = read.check(request);
  if ('problem' in checked) throw otherStatement(fingerprint, checked.problem, read.location);
  const found = { ...checked, signedBy: [fingerprint] };
  const isDemanded = request.authorities?.kind === 'policy';
  if (!read.isLogged && !isDemanded) return found;
  if (!open) return { ...found, log: 'unchecked' };
  (await sigstoreModule()).verifyLogged(read.material(), await open(), key);
  return { ...found, log: 'verified' };
}

async function judgeCertified(
  read: ReadSignature,
  root: Extract<OpenAuthorities, { readonly kind: 'trustedRoot' }>['root'],
  { rules, request }: Trust,
): Promise<Omit<Good, 'index'>> {
  const identity = (await sigstoreModule()).verifyCertified(read.material(), root);
  const signer = formatIdentity(identity);
  if (!rules.some((allows) => allows(identity))) throw otherSigner(signer, 'trusted', request);
  const checked = read.check(request);
  if ('problem' in checked) throw otherStatement(signer, checked.problem, read.location);
  return { ...checked, signedBy: [signer], log: 'verified' };
}

/** Judges a signature by a certificate that a policy asks for. Without that policy its authorities count for nothing. */
async function judgeIssued(
  read: ReadSignature,
  { certified, logs }: Extract<OpenAuthorities, { readonly kind: 'policy' }>,
  { request }: Trust,
): Promise<Omit<Good, 'index'> | undefined> {
  if (!certified) return undefined;
  const { verifyIssued } = await sigstoreModule();
  const { signer, isMeant } = verifyIssued(read.material(), { certified, logs }, request.nowMs);
  if (!isMeant) throw otherSigner(signer, 'the one that the policy asks for', request);
  const checked = read.check(request);
  if ('problem' in checked) throw otherStatement(signer, checked.problem, read.location);
  const isLogged = certified.signer.kind === 'fulcio';
  const log = isLogged ? 'verified' : read.isLogged ? 'unchecked' : undefined;
  return { ...checked, signedBy: [signer], isByPolicy: true, ...(log && { log }) };
}

function badSignature({ fingerprint }: PublicKey, location: string): ImageError {
  const message = `bad signature by ${fingerprint}: the signature or what it was made over was changed, or they do not belong together (${location})`;
  return new ImageError('SIGNATURE_INVALID', message, { fingerprint });
}

/** Passed over if another signature is good. */
function otherStatement(signer: string, problem: string, location: string): ImageError {
  const message = `the signature by ${show(signer, 4096)} ${problem} (${location})`;
  return new ImageError('SIGNATURE_INVALID', message, { fingerprint: signer });
}

function otherSigner(signer: string, what: string, { name, searched }: VerifyImageRequest): ImageError {
  const places = searched.map((one) => show(one)).join(', ');
  const message = `signed by ${show(signer, 4096)}, who is not ${what} for ${show(name)} (looked at the keys of ${places})`;
  return new ImageError('KEY_UNKNOWN', message, { signers: [signer], searched, name });
}

function keyUnknown({ name, searched, authorities }: VerifyImageRequest): ImageError {
  const isCertified = authorities?.kind === 'policy' && authorities.certified !== undefined;
  const by = isCertified ? 'with a certificate, as the policy wants it' : 'by a public key that is trusted';
  const message = `signed, but not ${by} for ${show(name)} (looked at the keys of ${searched.map((one) => show(one)).join(', ')})`;
  return new ImageError('KEY_UNKNOWN', message, { signers: [], searched, name });
}
