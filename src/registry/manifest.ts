import type { ZodType } from 'zod';
import * as z from 'zod';

import { ImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { listOf, text, texts } from '../image/go-json.ts';
import { describeJsonFault, foldKey, parseJsonStrict } from '../image/json.ts';
import { type GoPlatform, indexTypes, manifestTypes } from '../image/platform.ts';
import { checkShape, formatFault } from '../image/shape.ts';
import { show } from '../image/show.ts';
import {
  anyManifestTypes,
  configTypes,
  isForeignLayerType,
  isGenericType,
  isSchema1Type,
  layerTypes,
} from './media-types.ts';
import type { AnyManifest, Descriptor, ImageIndex, RegistryManifest } from './types.ts';

const digestProblem = 'must be sha256: and 64 lower-case hex digits';

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), digestProblem);

/** Only foreign layers have `urls`. */
const descriptor = z.object({
  mediaType: text,
  digest,
  size: z.int().nonnegative('must not be negative'),
  annotations: texts,
  urls: listOf(text),
});

const platformMembers = z.object({ os: text, architecture: text, variant: text });
const platform = platformMembers.nullish().transform((named) => {
  if (!named?.os && !named?.architecture) return undefined;
  const { os, architecture, variant } = named;
  return { os, architecture, ...(variant && { variant }) };
});

const schemaVersion = z.literal(2);

/** What a manifest or an index is attached to. */
const subjectShape = z.object({ digest }).optional().catch(undefined);

const indexShape = z.object({
  schemaVersion,
  manifests: listOf(descriptor.extend({ platform, artifactType: text })),
  subject: subjectShape,
  annotations: texts,
});

const manifestShape = z.object({
  schemaVersion,
  config: descriptor,
  layers: listOf(descriptor),
  annotations: texts,
  artifactType: text,
});

const anyShape = z.object({
  config: descriptor.nullish(),
  layers: listOf(descriptor),
  blobs: listOf(descriptor),
  subject: subjectShape,
  annotations: texts,
  artifactType: text,
});

type RawDescriptor = z.infer<typeof descriptor>;

/** The members of documents and of their parts that are read. */
const knownKeys: readonly string[] = [indexShape, manifestShape, descriptor, platformMembers]
  .flatMap((shape) => Object.keys(shape.shape))
  .concat('mediaType', 'platform', 'subject');

/**
 * Parses an index or a manifest. Content-Type, `mediaType` and the members must agree on its kind.
 *
 * @param contentType - the type from the answer or the descriptor; its parameters are ignored.
 * @param maxLayers - the limit `layers`.
 * @throws ImageError MANIFEST_INVALID, LIMIT_EXCEEDED
 * @see docs/rules.md R1, R3, R4
 */
export function parseRegistryManifest(
  bytes: Uint8Array,
  contentType: string,
  maxLayers: number,
): ImageIndex | RegistryManifest {
  const value = parseObject(bytes);
  const mediaType = agreedType(value, contentType, manifestTypes);
  checkKeys(value);
  return indexTypes.includes(mediaType) ? toIndex(value, mediaType) : toManifest(value, mediaType, maxLayers);
}

/**
 * As parseRegistryManifest, but for manifests of any kind: what their blobs are does not matter, only that the registry has them.
 *
 * @throws ImageError MANIFEST_INVALID, LIMIT_EXCEEDED
 */
export function parseAnyManifest(bytes: Uint8Array, contentType: string, maxLayers: number): ImageIndex | AnyManifest {
  const value = parseObject(bytes);
  const mediaType = agreedType(value, contentType, anyManifestTypes);
  checkKeys(value);
  if (indexTypes.includes(mediaType)) return toIndex(value, mediaType);
  const { config, layers, blobs, subject, annotations, artifactType } = shaped('manifest', anyShape, value);
  const all = [...layers, ...blobs];
  checkLayerCount(all.length, maxLayers);
  all.forEach(refuseForeign);
  checkSizes([...(config ? [config] : []), ...all]);
  return {
    kind: 'any',
    mediaType,
    artifactType: artifactType || (config?.mediaType ?? ''),
    config: config ? descriptorOf(config) : undefined,
    layers: all.map(descriptorOf),
    subject: subject?.digest,
    annotations,
  };
}

function parseObject(bytes: Uint8Array): object {
  const json = parseJsonStrict(bytes, { caseSensitive: true }); // keys of annotations may differ in case only
  if (!json.ok) throw invalid(`the manifest ${describeJsonFault(json.fault)}`);
  const { value } = json;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('the manifest is no object');
  return value;
}

/** The type on which Content-Type, `mediaType` and members agree. @throws ImageError MANIFEST_INVALID if they do not. */
function agreedType(value: object, stated: string, kinds: readonly string[]): string {
  const contentType = stated.replace(/;.*$/s, '').trim().toLowerCase();
  const members = Object.entries(value).filter(([, member]) => member !== null);
  const keys = new Set(members.map(([key]) => foldKey(key))); // readers that ignore case must not see another kind
  const isManifest = keys.has('layers') || keys.has('config') || (kinds !== manifestTypes && keys.has('blobs'));
  const named = ('mediaType' in value ? value.mediaType : undefined) ?? '';
  if (typeof named !== 'string') throw invalid('mediaType must be a string', 'mediaType');
  const isEmptyIndex = !isManifest && indexTypes.includes(named || contentType);
  const isIndex = keys.has('manifests') || isEmptyIndex;
  const isOld = 'schemaVersion' in value && value.schemaVersion === 1;
  if (isSchema1Type(contentType) || isSchema1Type(named) || isOld || keys.has('fslayers')) {
    throw invalid('a docker schema 1 manifest, which is not supported: the image must be pushed again');
  }
  if (isIndex && isManifest) throw invalid('both an index and a manifest in one document');
  if (!isIndex && !isManifest) throw invalid('neither an index nor a manifest');
  const known = isIndex ? indexTypes : kinds;
  const types = [contentType, named].filter((type) => !isGenericType(type));
  const wrong = types.find((type) => !known.includes(type));
  if (wrong !== undefined) throw invalid(`${isIndex ? 'an index' : 'a manifest'} with the type ${show(wrong)}`);
  const [type = known[0] ?? '', other = type] = types;
  if (type !== other)
    throw invalid(`a manifest of type ${show(other)} in an answer of type ${show(type)}`, 'mediaType');
  return type;
}

const knownByFold: ReadonlyMap<string, string> = new Map(knownKeys.map((key) => [foldKey(key), key]));

/** Refuses keys such as `Layers`: readers in Go ignore case and would read a member that other readers do not see. */
function checkKeys(value: unknown): void {
  if (Array.isArray(value)) return value.forEach(checkKeys);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    const known = knownByFold.get(foldKey(key));
    if (known !== undefined && key !== known) throw invalid(`the key "${show(key)}" must be written "${known}"`, known);
    if (['config', 'layers', 'manifests', 'platform'].includes(key)) checkKeys(member);
  }
}

function toIndex(value: object, mediaType: string): ImageIndex {
  const { manifests, subject, annotations } = shaped('index', indexShape, value);
  return {
    kind: 'index',
    mediaType,
    subject: subject?.digest,
    annotations,
    entries: manifests.map(({ platform, artifactType, ...entry }) => ({
      ...descriptorOf(entry),
      platform,
      ...(artifactType && { artifactType }),
    })),
  };
}

function toManifest(value: object, mediaType: string, maxLayers: number): RegistryManifest {
  if ('layers' in value && Array.isArray(value.layers) && value.layers.length > maxLayers) {
    checkLayerCount(value.layers.length, maxLayers);
  }
  const { config, layers, annotations, artifactType } = shaped('manifest', manifestShape, value);
  if (artifactType !== '' || !configTypes.includes(config.mediaType)) {
    throw invalid(`not an image, but ${show(artifactType || config.mediaType)}`, 'config.mediaType');
  }
  layers.forEach(checkLayer);
  checkSizes([config, ...layers]);
  return { kind: 'manifest', mediaType, annotations, config: descriptorOf(config), layers: layers.map(descriptorOf) };
}

function checkLayer({ mediaType, urls }: RawDescriptor, index: number): void {
  const field = `layers[${index}]`;
  refuseForeign({ mediaType, urls }, index);
  if (mediaType.endsWith('+encrypted')) throw invalid('an encrypted layer', field);
  if (!layerTypes.includes(mediaType)) throw invalid(`a layer of unknown type ${show(mediaType)}`, field);
}

function refuseForeign({ mediaType, urls }: Pick<RawDescriptor, 'mediaType' | 'urls'>, index: number): void {
  if (urls.length === 0 && !isForeignLayerType(mediaType)) return;
  throw invalid('a foreign layer, which is not stored in the registry', `layers[${index}]`);
}

function checkLayerCount(count: number, maximum: number): void {
  if (count <= maximum) return;
  throw new ImageError('LIMIT_EXCEEDED', `${count} layers, more than ${maximum}`, { limit: 'layers', maximum });
}

/** Refuses two sizes for the same digest: only one of them would be checked. */
export function checkSizes(descriptors: readonly Pick<Descriptor, 'digest' | 'size'>[]): void {
  const sizes = new Map<string, number>();
  for (const { digest, size } of descriptors) {
    const other = sizes.get(digest) ?? size;
    if (other !== size) throw invalid(`two sizes for ${digest}: ${other} and ${size} bytes`);
    sizes.set(digest, size);
  }
}

function descriptorOf({ mediaType, digest, size, annotations }: RawDescriptor): Descriptor {
  return { mediaType, digest, size, annotations };
}

/** The part of a configuration that is checked before its layers are downloaded. The conversion reads the rest. */
export type RegistryConfig = {
  readonly platform: GoPlatform;
  /** Digests of the uncompressed layers, the lowest layer first. */
  readonly diffIds: readonly Digest[];
};

const configShape = z.object({
  os: text,
  architecture: text,
  variant: text,
  rootfs: z.object({
    type: z.literal('layers'),
    diff_ids: listOf(digest),
  }),
});

/**
 * @param layers - the number of layers in the manifest; there must be as many diff IDs.
 * @throws ImageError MANIFEST_INVALID
 * @see OCI image-spec, config.md
 */
export function parseRegistryConfig(bytes: Uint8Array, layers: number): RegistryConfig {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw invalid(`the image configuration ${describeJsonFault(json.fault)}`);
  const { os, architecture, variant, rootfs } = shaped('image configuration', configShape, json.value);
  const diffIds = rootfs.diff_ids;
  if (diffIds.length !== layers) throw invalid(`${diffIds.length} diff IDs for ${layers} layers`, 'rootfs.diff_ids');
  return { platform: { os, architecture, ...(variant && { variant }) }, diffIds };
}

/**
 * Checks the shape of a document.
 *
 * @param what - the name of the document in messages.
 * @throws ImageError MANIFEST_INVALID naming the first invalid field
 */
function shaped<T>(what: string, shape: ZodType<T>, value: unknown): T {
  const result = checkShape(shape, value);
  if (result.ok) return result.value;
  const { fault } = result;
  throw invalid(`bad ${what}: ${formatFault(fault)}`, fault.field === '' ? undefined : fault.field);
}

function invalid(message: string, field?: string): ImageError<'MANIFEST_INVALID'> {
  return new ImageError('MANIFEST_INVALID', message, field === undefined ? {} : { field });
}
