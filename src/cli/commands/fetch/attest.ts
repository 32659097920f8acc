import { createHash } from 'node:crypto';

import {
  type BatchEvent,
  type EventSink,
  type ImageError,
  isDigest,
  isImageError,
  isImageId,
  isWithinPrefix,
  type KeyFile,
  type Keystore,
  loadSigning,
  openKeystore,
  type Outcome,
  parseIdentity,
  parseRegistryReference,
  type Policy,
  requirementsOf,
  show,
  type SigningKey,
  type Store,
  storedForms,
  toUri,
  trustName,
} from '../../../internal.ts';
import { outputFailed } from '../../output/error-line.ts';
import { createSpool } from '../../output/spool.ts';
import { toSafeJson } from '../../output/table.ts';
import { readVersion } from '../../version.ts';
import { writeAtEnd, writeOutput } from '../output-files.ts';

export type Attestations = {
  readonly onEvent: EventSink;
  /** Called before the batch begins. */
  setStore(store: Proofs): void;
  /** Writes the file. */
  end(): Promise<void>;
};

type Proofs = Pick<Store, 'proofsOf'>;

export type AttestRequest = {
  /** It was checked to be writable. */
  readonly path: string;
  /** Absent: statements are written as they are. */
  readonly key: SigningKey | undefined;
  /** The directories of trusted keys. */
  readonly dirs: readonly string[];
  /** It decides about images of registries, in the place of trusted keys. */
  readonly policy: Policy | undefined;
  /** Whether this run checks signatures. */
  readonly isChecked: boolean;
};

/** A statement is about an image that was brought, or refused for its signatures. */
const refusals: ReadonlySet<string> = new Set([
  'SIGNATURE_MISSING',
  'SIGNATURE_UNREADABLE',
  'SIGNATURE_INVALID',
  'SIGNATURE_EXPIRED',
  'KEY_UNKNOWN',
  'KEY_INVALID',
  'KEY_EXPIRED',
  'KEY_REVOKED',
  'KEY_WEAK',
  'POLICY_REFUSED',
]);

async function signed(statement: string, key: SigningKey): Promise<string> {
  const { envelopeOf, statementType } = await loadSigning();
  return await envelopeOf(statement, statementType, key);
}

/**
 * Says of each image whether it was verified: SLSA verification summaries as in-toto statements, one a line. They are written at the
 * end, however the run ends.
 *
 * @param onFailure - called when the file could not be written. @see docs/evidence.md
 */
export function createAttestations(
  { path, key, dirs, policy, isChecked }: AttestRequest,
  onFailure: (error: ImageError) => void,
): Attestations {
  const spool = createSpool('the statements');
  const trust = createTrust(dirs);
  let store: Proofs | undefined;
  const add = async (outcome: Outcome, timeVerified: string): Promise<void> => {
    const subject = subjectsOf(outcome);
    if (subject.length === 0) return;
    const name = trustName({ name: outcome.name ?? outcome.reference, source: outcome.source ?? outcome.reference });
    const signedBy = isChecked ? (outcome.signedBy ?? []) : undefined;
    const by = policy && ruleOf(policy, outcome);
    const keys = by ? [] : await trust.keysFor(name, signedBy ?? []);
    const signers = signedBy?.map((signer) => signerOf(signer, by ? [by.scope] : prefixesOf(signer, keys)));
    const statement = toSafeJson({
      _type: 'https://in-toto.io/Statement/v1',
      subject,
      predicateType: 'https://slsa.dev/verification_summary/v1',
      predicate: {
        verifier: { id: 'pkg:npm/longshore', version: { longshore: readVersion() } },
        timeVerified,
        resourceUri: toUri(outcome.source ?? outcome.reference),
        policy: by?.policy ?? keysAsPolicy(name, keys),
        ...inputsOf(signers && (await store?.proofsOf(storedAs(outcome)))),
        ...verdictOf(outcome, signers, by?.scope),
      },
    });
    spool.append(`${key ? await signed(statement, key) : statement}\n`);
  };

  let failure: ImageError | undefined;
  let adding = Promise.resolve();
  const endFile = writeAtEnd(() => failure ?? writeOutput({ path, what: 'the statements' }, spool.pieces()), onFailure);
  return {
    onEvent(event: BatchEvent) {
      if (event.type !== 'node-finished' || !isStated(event.outcome)) return;
      const time = new Date().toISOString();
      adding = adding
        .then(() => add(event.outcome, time))
        .catch((error: unknown) => {
          failure ??= outputFailed(`the statements ${show(path)}`, error);
        });
    },
    setStore(opened) {
      store = opened;
    },
    async end() {
      await adding;
      endFile();
      spool.close();
      await trust.close();
    },
  };
}

function isStated({ status, error }: Outcome): boolean {
  return status === 'fetched' || status === 'present' || (isImageError(error) && refusals.has(error.code));
}

type Subject = { readonly name: string; readonly digest: Readonly<Record<string, string>> };

/**
 * What a statement is about: the bytes as transferred, or the manifest, and the unpacked archive. Of an image that was refused, nothing
 * is known but the digest that was asked for.
 */
function subjectsOf({ reference, imageID, digest, source, name }: Outcome): readonly Subject[] {
  const asked = imageID === undefined ? reference.slice(reference.lastIndexOf('@') + 1) : undefined;
  const transferred = digest ?? asked;
  const image = imageID ?? asked;
  return [
    ...(transferred !== undefined && isDigest(transferred)
      ? [{ name: source ?? reference, digest: { sha256: transferred.slice('sha256:'.length) } }]
      : []),
    ...(image !== undefined && isImageId(image)
      ? [{ name: name ?? reference, digest: { sha512: image.slice('sha512-'.length) } }]
      : []),
  ];
}

/** What the store knows an image by. */
function storedAs({ imageID = '', source = '' }: Outcome): string {
  return isImageId(imageID) ? imageID : source.replace(/^docker:\/\//, '');
}

/** The signatures that were verified. Earlier versions kept none: then nothing is said of them. */
function inputsOf(proofs: Awaited<ReturnType<Proofs['proofsOf']>> = []) {
  if (proofs.length === 0) return {};
  const inputAttestations = proofs.map(({ kind, covers, bytes }) => ({
    digest: { sha256: createHash('sha256').update(bytes).digest('hex') },
    annotations: { kind, covers },
  }));
  return { inputAttestations };
}

/** `fingerprint` of a key, or `identity` of a certificate, with its issuer. */
type Signer = { readonly fingerprint?: string; readonly identity?: string; readonly trustedFor: readonly string[] };

/** @param signers - undefined if signatures were not checked @param scope - of the policy that has decided */
function verdictOf({ error }: Outcome, signers: readonly Signer[] | undefined, scope: string | undefined) {
  const failed = (reason: string) => ({
    verificationResult: 'FAILED',
    verifiedLevels: ['FAILED'],
    'longshore:reason': reason,
  });
  if (error) return failed(`${error.code}: ${show(error.message, 1000)}`);
  if (!signers) return failed('not verified: the checks of signatures were lifted by --insecure-options=image');
  const good = signers.filter(({ trustedFor }) => trustedFor.length > 0);
  if (good.length === 0 && scope !== undefined)
    return failed(`not verified: the policy accepts it unsigned (${scope})`);
  if (good.length === 0) return failed('not verified: none of its signers is trusted for its name');
  return {
    verificationResult: 'PASSED',
    // of SLSA's own levels nothing is checked
    verifiedLevels: ['SLSA_BUILD_LEVEL_0', 'LONGSHORE_SIGNED'],
    'longshore:signedBy': good,
  };
}

type Key = Pick<KeyFile, 'fingerprint' | 'allows'> & { readonly prefix: string };

/** Whether a signer of an image is this key, or is allowed by this rule of identities. */
function isBy({ fingerprint, allows }: Key, signer: string): boolean {
  const identity = allows && parseIdentity(signer);
  return identity ? allows(identity) : fingerprint === signer;
}

/** Which keys are trusted for which names. */
function createTrust(dirs: readonly string[]) {
  let opened: Promise<Keystore> | undefined;
  const read = async (name: string): Promise<readonly Key[]> => {
    const keystore = await (opened ??= openKeystore({ dirs }));
    let keys: Key[] = [];
    for (const { prefix, masked, ...file } of inOrder(name, await keystore.list())) {
      if (masked) keys = keys.filter(({ fingerprint }) => fingerprint !== file.fingerprint);
      else keys.push({ ...file, prefix: prefix ?? 'root' });
    }
    return keys;
  };
  return {
    /** The keys that are trusted for a name, by each prefix. A mask takes away those before it, as in the list of the keystore. */
    async keysFor(name: string, signers: readonly string[]): Promise<readonly Key[]> {
      const keys = await read(name);
      if (signers.length === 0 || signers.some((signer) => keys.some((key) => isBy(key, signer)))) return keys;
      opened = undefined; // what was read a moment ago lacks a key that this run has trusted since
      return read(name);
    },
    async close() {
      await (await opened)?.close();
    },
  };
}

/** The files that count for a name, in the order in which masks count. @see docs/rules.md S2 */
function inOrder(name: string, files: readonly KeyFile[]): readonly KeyFile[] {
  const forms = storedForms(name);
  const ranked = files.flatMap((file) => {
    const { prefix } = file;
    const form = prefix === undefined ? 0 : forms.findIndex((one) => isWithinPrefix(one, prefix));
    return form < 0
      ? []
      : [{ file, rank: [file.layer, prefix === undefined ? -1 : form, prefix?.length ?? 0] as const }];
  });
  const byRank = ({ rank: a }: (typeof ranked)[number], { rank: b }: (typeof ranked)[number]): number =>
    a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
  return ranked.toSorted(byRank).map(({ file }) => file);
}

/** That an image has to be signed by one of these keys. The digest is that of their lines, which docs/evidence.md describes. */
function keysAsPolicy(name: string, keys: readonly Key[]) {
  const lines = new Set(keys.map(({ prefix, fingerprint }) => `${prefix} ${fingerprint}\n`));
  const sha256 = createHash('sha256')
    .update([...lines].toSorted().join(''))
    .digest('hex');
  return { uri: `longshore:trusted-keys/${name.split('/').map(encodeURIComponent).join('/')}`, digest: { sha256 } };
}

/** What a policy decides about an image of a registry by; undefined for other images. */
function ruleOf(policy: Policy, { reference, source = reference }: Outcome) {
  if (!source.startsWith('docker://')) return undefined;
  const asked = reference.startsWith('docker://') ? reference : source;
  const scope = requirementsOf(policy, parseRegistryReference(asked)).scope.replaceAll('"', '');
  return { scope, policy: { uri: toUri(policy.path), digest: { sha256: policy.sha256 }, annotations: { scope } } };
}

function prefixesOf(signer: string, keys: readonly Key[]): readonly string[] {
  return [...new Set(keys.filter((key) => isBy(key, signer)).map(({ prefix }) => prefix))];
}

function signerOf(signer: string, trustedFor: readonly string[]): Signer {
  return { [parseIdentity(signer) ? 'identity' : 'fingerprint']: signer, trustedFor };
}
