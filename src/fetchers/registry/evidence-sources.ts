import { stat } from 'node:fs/promises';

import type { KeyKind } from '../../../workers/tasks.ts';
import { hasCode, ImageError, isImageError } from '../../errors.ts';
import type { HttpObserver } from '../../http/contract.ts';
import { type Digest, parseDigest } from '../../image/digest.ts';
import { type Evidence, tooManySignatures } from '../../image/proof.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import { showUrl } from '../../image/show.ts';
import { type CosignPlace, findCosignSignatures, signatureTag } from '../../registry/cosign.ts';
import { lookasideFor, signatureAt } from '../../registry/lookaside.ts';
import type { SignaturePlace } from '../../registry/parse-registries-d.ts';
import { isLoopback } from '../../registry/place.ts';
import type { ReferrersContext } from '../../registry/referrers.ts';
import { createObserver, type FetchContext } from '../context.ts';
import { getSignature, showSignature, signatureMissing } from '../signature.ts';
import type { WantedImage } from './image.ts';

/** One place with signatures of an image, or several: they come a few at a time, and no more is asked for once one of them is good. */
export type EvidenceSource = {
  /** Asks for signatures of what the reference stands for, while its manifest is asked for. */
  begin?(this: void, root: Digest, signal: AbortSignal): void;
  find(this: void, digests: readonly Digest[], signal: AbortSignal): AsyncIterable<readonly Evidence[]>;
};

/** The places where signatures by keys of these kinds are. @throws INSECURE_REFUSED if there is no place that might have a signature by one of the keys */
export async function sourcesFor(
  context: FetchContext,
  wanted: WantedImage,
  kinds: ReadonlySet<KeyKind>,
): Promise<readonly EvidenceSource[]> {
  const { carried } = context.registries;
  if (carried) return [carriedSource(carried), cosignSource(context, wanted)];
  if (!kinds.has('public-key') && !kinds.has('identity'))
    return [lookasideSource(context, wanted, await signaturePlace(context, wanted.reference))];
  const attached = cosignSource(context, wanted);
  if (!kinds.has('openpgp')) return [attached];
  const place = await signaturePlace(context, wanted.reference).catch((error: unknown) => {
    if (!hasCode(error, 'INSECURE_REFUSED')) throw error;
    return undefined; // those of cosign are looked for all the same
  });
  return place ? [attached, lookasideSource(context, wanted, place)] : [attached];
}

/** Signatures that are in the archive that the image is read from. Those of OpenPGP are judged apart from others. */
function carriedSource({ from, find }: NonNullable<FetchContext['registries']['carried']>): EvidenceSource {
  return {
    async *find(digests) {
      const all = (await Promise.all(digests.map(find))).flat();
      const { openpgp = [], others = [] } = Object.groupBy(all, ({ kind }) =>
        kind === 'simple-signing' ? 'openpgp' : 'others',
      );
      yield others;
      yield openpgp;
      if (all.length > 0) return;
      const message = `there is no signature of the image in ${from}`;
      throw new ImageError('SIGNATURE_MISSING', message, { location: from });
    },
  };
}

/** Signatures of cosign, in the repository itself. What the reference stands for is asked for first, where the host had them last. */
function cosignSource(context: FetchContext, { key, reference }: WantedImage): EvidenceSource {
  const { slots, limits, registries } = context;
  const { host, repository } = reference;
  const { cosignPlaces, listless } = registries;
  const begun = new Map<Digest, { readonly place: CosignPlace; readonly groups: AsyncIterable<readonly Evidence[]> }>();

  async function* search(
    subject: Digest,
    place: CosignPlace,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Evidence[]> {
    const ask = <T>(work: (observer: HttpObserver) => Promise<T>): Promise<T> =>
      slots.run(host, signal, (slot) => work(createObserver({ ...context, slot }, key)));
    const get: ReferrersContext['get'] = (_, request) => ask(request);
    const where = { client: await registries.client(), where: reference, ask, get };
    const about = { subject, place, listless, maximum: limits.signatures, bundleBytes: limits.signature };
    yield* findCosignSignatures(where, about, signal);
  }

  return {
    begin(root, signal) {
      const place = cosignPlaces.get(host) ?? 'tag';
      begun.set(root, { place, groups: withFirstAsked(search(root, place, signal)) });
    },
    async *find(digests, signal) {
      let isMissing = true;
      let fault: ImageError | undefined;
      for (const subject of digests) {
        const early = begun.get(subject);
        begun.delete(subject);
        const first = early?.place ?? cosignPlaces.get(host) ?? 'tag';
        for (const place of [first, first === 'tag' ? 'referrers' : 'tag'] as const) {
          try {
            for await (const evidence of place === early?.place ? early.groups : search(subject, place, signal)) {
              if (evidence.length > 0) isMissing = false;
              if (evidence.length > 0) cosignPlaces.set(host, place);
              yield evidence;
            }
          } catch (error) {
            if (!isRefusal(error)) throw error;
            fault = weightier(fault, error);
          }
        }
      }
      if (fault) throw fault;
      if (!isMissing) return;
      const [subject = ''] = digests;
      const location = `docker://${host}/${repository}:${signatureTag(parseDigest(subject))}`;
      const message = `there is no signature of the image, neither attached to it nor at ${location}`;
      throw new ImageError('SIGNATURE_MISSING', message, { location });
    },
  };
}

/** The same items, of which the first is asked for at once. What fails then is thrown when it is its turn. */
function withFirstAsked<T>(items: AsyncGenerator<T>): AsyncIterable<T> {
  const first = items.next();
  first.catch(() => undefined);
  return (async function* () {
    const result = await first;
    if (result.done === true) return;
    yield result.value;
    yield* items;
  })();
}

/** Signatures of OpenPGP, outside the registry. */
function lookasideSource(
  context: FetchContext,
  { key, reference: { repository } }: WantedImage,
  place: SignaturePlace,
): EvidenceSource {
  return {
    async *find(digests, signal) {
      yield await context.slots.run(hostOf(place), signal, (slot) =>
        getSignatures({ ...context, slot }, place, { key, repository, digests }, signal),
      );
    },
  };
}

/** What is said if several places have no good signature: that a good one may be behind the limit, then the first that was found. */
export function weightier(one: ImageError | undefined, other: ImageError): ImageError {
  const weight = (error: ImageError): number =>
    hasCode(error, 'LIMIT_EXCEEDED') ? 2 : hasCode(error, 'SIGNATURE_MISSING') ? 0 : 1;
  return one && weight(one) >= weight(other) ? one : other;
}

export function isRefusal(error: unknown): error is ImageError {
  return isImageError(error) && /^(?:SIGNATURE|KEY|LIMIT|MANIFEST|DIGEST|SIZE)_/.test(error.code);
}

function hostOf(place: SignaturePlace): string | undefined {
  return place.kind === 'url' ? new URL(place.url).host : undefined;
}

/**
 * The place with the signatures of an image.
 *
 * @throws INSECURE_REFUSED if none is configured, or for http if that is not allowed.
 * @see docs/rules.md R6
 */
async function signaturePlace(
  { registries: { lookasides }, discovery: { allowHttp } }: Pick<FetchContext, 'registries' | 'discovery'>,
  reference: RegistryReference,
): Promise<SignaturePlace> {
  const place = lookasideFor(lookasides, reference);
  if (place) return checkScheme(place, allowHttp);
  const { fallback } = lookasides;
  if (fallback !== undefined && (await isDirectory(fallback))) return { kind: 'file', path: fallback };
  const message = 'registries.d has no place for signatures of this image';
  throw new ImageError('INSECURE_REFUSED', message, { what: 'an image of a registry, unverified' });
}

function checkScheme(place: SignaturePlace, allowHttp: boolean): SignaturePlace {
  if (place.kind === 'file' || allowHttp) return place;
  const { protocol, host } = new URL(place.url);
  if (protocol === 'https:' || isLoopback(host)) return place;
  const message = `signatures are not read over http, as configured in registries.d: ${showUrl(place.url)}`;
  throw new ImageError('INSECURE_REFUSED', message, { what: 'signatures over http' });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

type SignaturesRequest = {
  readonly key: string;
  readonly repository: string;
  /** The digests of the document that the reference names, and of the manifest. */
  readonly digests: readonly Digest[];
};

/**
 * Gets all signatures of an image. They are numbered; the first missing number is the end.
 *
 * @returns at least one signature.
 * @throws SIGNATURE_MISSING, LIMIT_EXCEEDED, FILE_UNREADABLE, and network errors
 */
async function getSignatures(
  context: FetchContext,
  place: SignaturePlace,
  { key, repository, digests }: SignaturesRequest,
  signal: AbortSignal,
): Promise<readonly Evidence[]> {
  const maximum = context.limits.signatures;
  const found: Evidence[] = [];
  let missing: { readonly source: SignaturePlace; readonly cause: unknown } | undefined;
  for (const digest of digests) {
    for (let number = 1; ; number++) {
      const source = signatureAt(place, repository, digest, number);
      const answer = await getSignature(context, key, source, signal).catch((error: unknown) => {
        if (!hasCode(error, 'SIGNATURE_MISSING')) throw error;
        missing ??= { source, cause: error.cause };
        return undefined;
      });
      if (!answer) break;
      if (answer === 'later') throw signatureMissing(source, undefined, 'the server does not send the signature yet');
      if (found.length === maximum) throw tooManySignatures(maximum);
      found.push({ kind: 'simple-signing', bytes: answer, location: showSignature(source) });
    }
  }
  if (found.length > 0) return found;
  if (!missing) throw new Error('nothing was asked for');
  throw signatureMissing(missing.source, missing.cause, 'there is no signature of the image');
}
