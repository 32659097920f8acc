import { createHash, randomUUID } from 'node:crypto';

import {
  type EventSink,
  type ImageError,
  isDigest,
  isImageId,
  type Outcome,
  parseRegistryReference,
  toGoPlatform,
  toUri,
} from '../../../internal.ts';
import { toSafeJson } from '../../output/table.ts';
import { readVersion } from '../../version.ts';
import { writeAtEnd, writeOutput } from '../output-files.ts';

export type BillOfMaterials = {
  readonly onEvent: EventSink;
  /** Writes the file. */
  end(): void;
};

export type BomRequest = {
  /** It was checked to be writable. */
  readonly path: string;
  /** Seconds of SOURCE_DATE_EPOCH: the same images give the same bytes then. */
  readonly epochSeconds: number | undefined;
  /** Whether dependencies are fetched, so that it is known which there are. */
  readonly withDeps: boolean;
};

/** What is kept of an image until the end. */
type Row = {
  /** Of the source that comes first in the order of text, so that it does not matter which image came first. */
  readonly facts: Pick<Outcome, 'imageID' | 'name' | 'labels' | 'platforms' | 'dependencies'> & Place;
  readonly places: readonly Place[];
  readonly references: readonly string[];
  readonly endpoints: readonly string[];
  readonly signers: readonly string[];
};

type Place = { readonly source: string; readonly digest: string };

/**
 * Collects what a run brings or finds, and writes it as CycloneDX 1.6 at the end, however the run ends.
 *
 * @param onFailure - called when the file could not be written. @see docs/evidence.md
 */
export function createBom(
  { path, epochSeconds, withDeps }: BomRequest,
  onFailure: (error: ImageError) => void,
): BillOfMaterials {
  const rows = new Map<string, Row>();
  let isComplete = false;
  const write = (): ImageError | undefined =>
    writeOutput({ path, what: 'the bill of materials' }, documentOf(rows, { epochSeconds, withDeps, isComplete }));
  return {
    onEvent(event) {
      if (event.type === 'batch-finished') isComplete = event.totals.failed + event.totals.cancelled === 0;
      if (event.type !== 'node-finished') return;
      const { outcome, also = [] } = event;
      if (outcome.status !== 'fetched' && outcome.status !== 'present') return;
      const references = [outcome, ...also].map(({ reference }) => reference);
      const ref = refOf(outcome);
      rows.set(ref, merge(rows.get(ref), outcome, references));
    },
    end: writeAtEnd(write, onFailure),
  };
}

/** Several references may stand for one image: tags of a repository, or the URLs of an archive. */
function merge(row: Row | undefined, outcome: Outcome, references: readonly string[]): Row {
  const { imageID, name, labels, platforms, dependencies, endpoint, signedBy } = outcome;
  const place = { source: outcome.source ?? '', digest: outcome.digest ?? '' };
  // absent members stay absent: these are those of an outcome
  const facts = { imageID, name, labels, platforms, dependencies, ...place } as Row['facts'];
  const others = row?.places.filter(({ source }) => source !== place.source) ?? [];
  return {
    facts: row && row.facts.source < place.source ? row.facts : facts,
    places: [...others, place],
    references: union(row?.references, references),
    endpoints: union(row?.endpoints, endpoint === undefined ? [] : [endpoint]),
    signers: union(row?.signers, signedBy),
  };
}

function union(some: readonly string[] = [], others: readonly string[] = []): readonly string[] {
  return [...new Set([...some, ...others])].toSorted();
}

/** What dependencies name an image by: an ID; of a registry the same bytes may be an image of several repositories. */
function refOf({ imageID = '', digest = '', source = '' }: Outcome): string {
  const registry = registryOf(source);
  return registry ? `${imageID === digest ? '' : `${imageID}/`}${ociPurl(registry, digest, {})}` : imageID;
}

type Facts = Pick<BomRequest, 'epochSeconds' | 'withDeps'> & { readonly isComplete: boolean };

/** The document in pieces, one component each. */
function* documentOf(rows: ReadonlyMap<string, Row>, facts: Facts): Generator<string> {
  const sorted = [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const isRepeatable = facts.epochSeconds !== undefined;
  const timestamp = new Date(isRepeatable ? facts.epochSeconds * 1000 : Date.now()).toISOString();
  const parts = () => partsOf(sorted, rows, { ...facts, timestamp });
  const serial = isRepeatable ? uuidOf(parts()) : randomUUID();
  const head = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
  };
  yield `${JSON.stringify(head).slice(0, -1)},`;
  yield* parts();
}

function* partsOf(
  sorted: readonly (readonly [string, Row])[],
  rows: ReadonlyMap<string, Row>,
  { timestamp, epochSeconds, isComplete, withDeps }: Facts & { readonly timestamp: string },
): Generator<string> {
  const metadata = {
    timestamp,
    tools: { components: [{ type: 'application', name: 'longshore', version: readVersion() }] },
    properties: [{ name: 'longshore:complete', value: String(isComplete) }],
  };
  yield `\n"metadata":${JSON.stringify(metadata)},\n"components":[`;
  let between = '\n';
  for (const [ref, row] of sorted) {
    yield between + toSafeJson(componentOf(ref, row, epochSeconds !== undefined));
    between = ',\n';
  }
  yield '\n],\n"dependencies":[';
  between = '\n';
  for (const [ref, { facts }] of sorted) {
    if (!withDeps || ref !== facts.imageID) continue; // not known, so that nothing is said of them
    const dependsOn = [...new Set(facts.dependencies)].filter((id) => rows.has(id)).toSorted();
    yield between + toSafeJson({ ref, dependsOn });
    between = ',\n';
  }
  yield '\n]}\n';
}

/** A UUID of version 8, made of a digest. */
function uuidOf(pieces: Iterable<string>): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  const bytes = hash.digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function componentOf(
  ref: string,
  { facts, places, references, endpoints, signers }: Row,
  isRepeatable: boolean,
): object {
  const { imageID = '', name, labels, digest, source, platforms = [] } = facts;
  const registry = registryOf(source);
  const unpacked = isImageId(imageID) ? [{ alg: 'SHA-512', content: imageID.slice('sha512-'.length) }] : [];
  const version = registry ? (registry.tag ?? digest) : labels?.['version'];
  const arch = platforms.length > 0 ? undefined : archOf(labels);
  const property = (key: string) => (value: string) => ({ name: `longshore:${key}`, value });
  // an archive that is unpacked in the store has another digest than the file at its URL
  const hashes = registry ? sha256(digest) : unpacked;
  const froms = places.toSorted((one, other) => (one.source < other.source ? -1 : 1));
  return {
    type: registry ? 'container' : 'application',
    'bom-ref': ref,
    name: registry ? `${registry.host}/${registry.repository}` : (name ?? imageID),
    ...(version !== undefined && { version }),
    hashes,
    purl: registry
      ? ociPurl(registry, digest, { arch, tag: registry.tag })
      : genericPurl(name ?? imageID, { version, arch, digest, source }),
    externalReferences: [
      ...froms.map((from) => ({ ...distribution(from.source), ...(!registry && { hashes: sha256(from.digest) }) })),
      // an image that was there before has none
      ...(isRepeatable
        ? []
        : endpoints.map((url) => ({ ...distribution(url), comment: 'where the manifest came from' }))),
    ],
    properties: [
      property('imageID')(imageID),
      ...references.map(property('reference')),
      ...Object.entries(labels ?? {})
        .toSorted()
        .map(([key, value]) => property(`label:${key}`)(value)),
      ...platforms.map(({ os, architecture, variant }) =>
        property('platform')([os, architecture, ...(variant === undefined ? [] : [variant])].join('/')),
      ),
      property('verified')(String(signers.length > 0)),
      ...signers.map(property('signer')),
    ],
  };
}

function distribution(source: string) {
  return { type: 'distribution', url: toUri(source) };
}

function sha256(digest: string): readonly object[] {
  return isDigest(digest) ? [{ alg: 'SHA-256', content: digest.slice('sha256:'.length) }] : [];
}

type Registry = { readonly host: string; readonly repository: string; readonly tag?: string };

function registryOf(source: string): Registry | undefined {
  try {
    return source.startsWith('docker://') ? parseRegistryReference(source) : undefined;
  } catch {
    return undefined; // another version may have written the store
  }
}

/** As registries name it; the label as it is where they have no name for it. */
function archOf(labels: Readonly<Record<string, string>> = {}): string | undefined {
  const { os, arch } = labels;
  if (os === undefined || arch === undefined) return arch;
  try {
    return toGoPlatform({ os, arch }).architecture;
  } catch {
    return arch;
  }
}

type Qualifiers = Readonly<Record<string, string | undefined>>;

/** @see https://github.com/package-url/purl-spec, types/oci-definition.json */
function ociPurl({ host, repository }: Registry, digest: string, qualifiers: Qualifiers): string {
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  return `pkg:oci/${encode(name)}@${encode(digest)}${format({ ...qualifiers, repository_url: `${host}/${repository}` })}`;
}

type Archive = Readonly<Record<'version' | 'arch', string | undefined>> & Readonly<Record<'digest' | 'source', string>>;

function genericPurl(name: string, { version, arch, digest, source }: Archive): string {
  const path = name.split('/').map(encode).join('/');
  const url = /^https?:/.test(source) ? source : undefined;
  const at = version === undefined || version === '' ? '' : `@${encode(version)}`;
  return `pkg:generic/${path}${at}${format({ arch, checksum: digest || undefined, download_url: url })}`;
}

/** Qualifiers are sorted by name, and those without a value are left out. */
function format(qualifiers: Qualifiers): string {
  const pairs = Object.entries(qualifiers).flatMap(([key, value]) => (value ? [`${key}=${encodeValue(value)}`] : []));
  return pairs.length === 0 ? '' : `?${pairs.toSorted().join('&')}`;
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, (character) => `%${hex(character)}`);
}

/** What separates the parts of a URL is left as it is, as in the examples of the specification. */
function encodeValue(text: string): string {
  return encode(text).replaceAll('%2F', '/').replaceAll('%3A', ':');
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).toUpperCase();
}
