import type { Carried, CarriedEntry, SavedImage } from '../../workers/import/requests.ts';
import { asImageError, fromErrorData, ImageError, isImageError } from '../errors.ts';
import type { Choices, OwnChoices } from '../fetchers/context.ts';
import { readDocument } from '../fetchers/registry/keep.ts';
import type { Digest } from '../image/digest.ts';
import { type ImageReference } from '../image/reference.ts';
import { parseRegistryReference, type RegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { Pool } from '../pool/pool.ts';
import { parseAnyManifest } from '../registry/manifest.ts';
import { configTypes } from '../registry/media-types.ts';
import type { AnyManifest, ImageIndex } from '../registry/types.ts';
import type { StoredDescriptor } from '../store/registry-store.ts';
import type { ArchiveRegistry, AttachedEntry } from './archive-registry.ts';
import { type BundleContext, bundledChoice, findArchive, nameOfArchive } from './bundled.ts';
import { keepSavedManifest } from './saved-image.ts';

/** An image of an archive that is to be kept, or why it cannot be. `text` is its reference. */
type ImageToKeep =
  | {
      readonly text: string;
      readonly reference: ImageReference;
      readonly choices?: OwnChoices;
      /** The path of the detached signature of an archive (ACI). */
      readonly signature?: string;
    }
  | { readonly text: string; readonly error: ImageError };

export type Selection = {
  /** References and digests of the images that are wanted; none: all. */
  readonly wanted: readonly string[];
  /** The name of images for which the archive has only a tag, or nothing. */
  readonly as: string | undefined;
  /** Without platforms, an image is kept for all platforms that are there. */
  readonly choices: Choices;
};

type FindContext = BundleContext & {
  readonly pool: Pool;
  readonly onWarning: (message: string) => void;
};

/** What has one name; one image, as it should be. `choices`: those of a bundle. */
type Named = {
  readonly reference: RegistryReference;
  readonly all: Map<Digest, StoredDescriptor>;
  readonly choices?: OwnChoices;
};

/** An image of the archive, or what is attached to one. */
type Root = { readonly descriptor: StoredDescriptor; readonly name: string | undefined };

/** The images of an archive, and what a registry with them would have. */
export type FoundImages = {
  readonly images: readonly ImageToKeep[];
  readonly tags: ArchiveRegistry['tags'];
  readonly attached: ArchiveRegistry['attached'];
  /** Digests of what is attached to a manifest or an index, also by a tag. */
  readonly attachedTo: (digest: Digest) => readonly Digest[];
  readonly hasAttached: boolean;
};

/**
 * Finds out which images an archive has and what they are called. All its files are in the store. What is wrong with one image does not
 * concern the others.
 *
 * @see docs/rules.md I5, I6
 */
export async function findImages(
  context: FindContext,
  carried: Extract<Carried, { kind: 'images' }>,
  selection: Selection,
  signal: AbortSignal,
): Promise<FoundImages> {
  const select = createSelector(selection.wanted);
  const tags = new Map<string, StoredDescriptor>();
  const attached = new Map<Digest, AttachedEntry[]>();
  const byTag = new Map<string, readonly Digest[]>();
  const failed: ImageToKeep[] = [];
  const named = new Map<string, Named>();
  for (const image of carried.bundle?.images ?? []) {
    const { reference, choices } = bundledChoice(image, { ...selection.choices, isFurther: false });
    const descriptor = image.index ?? image.manifest;
    named.set(image.reference, {
      reference: withText(reference),
      all: new Map([[descriptor.digest, descriptor]]),
      choices,
    });
  }

  const take = async ({ descriptor, name }: Root): Promise<void> => {
    const kind = name === undefined ? await kindOf(context, descriptor) : 'image';
    if (kind === 'other') {
      context.onWarning(`${descriptor.digest} has no name in the archive, and is not an image: it is left out`);
    } else if (kind !== 'image') {
      attached.set(kind.subject, [
        ...(attached.get(kind.subject) ?? []),
        { ...descriptor, artifactType: kind.artifactType },
      ]);
    } else {
      const reference = referenceOf(context, { descriptor, name }, selection.as);
      const key = nameOf(reference);
      const one = named.get(key) ?? { reference, all: new Map<Digest, StoredDescriptor>() };
      if (one.choices) return; // the bundle says more of it
      named.set(key, one);
      one.all.set(descriptor.digest, descriptor);
    }
  };

  const fail = (name: string | undefined, error: unknown): void => {
    if (signal.aborted) throw error;
    failed.push({ text: name ?? 'an image without a name', error: asImageError(error) });
  };
  for (const { name, mediaType, digest, size } of carried.entries)
    await take({ name, descriptor: { mediaType, digest, size } }).catch((error: unknown) =>
      fail(name ?? digest, error),
    );
  for (const saved of carried.saved) {
    const names = saved.names.length > 0 ? saved.names : [undefined];
    const descriptor = await manifestOf(context, saved, signal).catch((error: unknown) => {
      for (const name of names) fail(name, error);
    });
    for (const name of descriptor ? names : [])
      if (descriptor) await take({ descriptor, name }).catch((error: unknown) => fail(name, error));
  }

  const images: ImageToKeep[] = failed.filter(({ text }) => select.matches([text]));
  for (const archive of carried.bundle?.archives ?? []) {
    const text = nameOfArchive(archive);
    const version = archive.labels.get('version');
    const names = [text, archive.name, ...(version === undefined ? [] : [`${archive.name}:${version}`])];
    if (!select.matches(names, [archive.imageId])) continue;
    try {
      images.push({ text, ...(await findArchive(context, carried, archive)) });
    } catch (error) {
      images.push({ text, error: asImageError(error) });
    }
  }
  for (const { reference, all, choices } of named.values()) {
    const [descriptor] = all.values();
    if (!descriptor) continue;
    const { host, repository, tag = '' } = reference;
    if (reference.digest === undefined) tags.set(`${host}/${repository}:${tag}`, descriptor);
    const [, subject] = attachedTag.exec(tag) ?? [];
    if (subject !== undefined)
      byTag.set(`sha256:${subject}`, [...(byTag.get(`sha256:${subject}`) ?? []), descriptor.digest]);
    if (subject !== undefined || !select.matches([nameOf(reference)], [...all.keys()])) continue;
    const text = reference.text;
    if (all.size > 1) {
      const message = `the archive has several images of this name: ${[...all.keys()].join(', ')}`;
      images.push({ text, error: new ImageError('MANIFEST_INVALID', message, {}) });
      continue;
    }
    images.push({ text, reference, choices: choices ?? (await choicesFor(context, descriptor, selection.choices)) });
  }
  for (const text of select.unmatched()) {
    const error = new ImageError('NOT_IN_STORE', 'the archive has no such image', { asked: text, of: 'archive' });
    images.push({ text, error });
  }
  return {
    ...{ images, tags, attached, hasAttached: attached.size + byTag.size > 0 },
    attachedTo: (digest) => [...(attached.get(digest) ?? []).map((one) => one.digest), ...(byTag.get(digest) ?? [])],
  };
}

/** The roots in a layout of the images that are wanted, and all that may be attached to them. */
export function wantedRoots(
  { entries }: Extract<Carried, { kind: 'images' }>,
  { wanted, as }: Selection,
): readonly Digest[] {
  const select = createSelector(wanted);
  const isWanted = ({ name, digest }: CarriedEntry): boolean => {
    if (name === undefined) return true;
    try {
      const reference = parseRegistryReference(fullName(name, as) ?? name);
      return attachedTag.test(reference.tag ?? '') || select.matches([nameOf(reference)], [digest]);
    } catch (error) {
      if (isImageError(error)) return true; // it is reported where the images are found
      throw error;
    }
  };
  return entries.filter(isWanted).map(({ digest }) => digest);
}

/** How cosign tags what it attaches to an image, and how clients list it. */
const attachedTag = /^sha256-([0-9a-f]{64})(?:\.\w+)?$/;

function manifestOf(context: FindContext, saved: SavedImage, signal: AbortSignal): Promise<StoredDescriptor> {
  if (saved.fault) return Promise.reject(fromErrorData(saved.fault));
  return keepSavedManifest(context, saved, signal);
}

/** A name without a slash, a colon or an at sign is a tag, as skopeo writes it. @throws REFERENCE_INVALID, DIGEST_MISMATCH */
function referenceOf(
  { onWarning }: FindContext,
  { descriptor, name }: Root,
  as: string | undefined,
): RegistryReference {
  const { digest } = descriptor;
  const text = fullName(name, as);
  if (text === undefined) {
    const what = name === undefined ? 'no name' : `only the tag ${show(name)}`;
    onWarning(`the archive has ${what} for ${digest}: it is kept by its digest, as no name was given for it`);
    return withText(parseRegistryReference(`unnamed.invalid/image@${digest}`));
  }
  const reference = parseRegistryReference(text);
  if (reference.digest !== undefined && reference.digest !== digest) {
    const message = `the archive has ${digest} under the name ${show(text, 1000)}`;
    throw new ImageError('DIGEST_MISMATCH', message, { asked: reference.digest, found: digest, of: 'archive' });
  }
  return withText(reference);
}

/** @returns undefined if neither the archive nor the user has a name for it */
function fullName(name: string | undefined, as: string | undefined): string | undefined {
  if (name !== undefined && /[/:@]/.test(name)) return name;
  return as !== undefined && name !== undefined ? `${as}:${name}` : as;
}

function withText(reference: RegistryReference): RegistryReference {
  return { ...reference, text: `docker://${nameOf(reference)}` };
}

/** The name in the store. */
function nameOf({ host, repository, tag, digest }: RegistryReference): string {
  return `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

async function read(
  { store, limits }: FindContext,
  descriptor: StoredDescriptor,
): Promise<ImageIndex | AnyManifest | undefined> {
  const bytes = await readDocument(store, descriptor, limits.registryManifest);
  return bytes && parseAnyManifest(bytes, descriptor.mediaType, limits.layers);
}

/** What an entry without a name is. One that cannot be read counts as an image, of which that is told then. */
async function kindOf(
  context: FindContext,
  descriptor: StoredDescriptor,
): Promise<'image' | 'other' | { readonly subject: Digest; readonly artifactType: string }> {
  const content = await read(context, descriptor);
  if (!content) return 'image';
  const artifactType = content.kind === 'any' ? content.artifactType : '';
  if (content.subject !== undefined) return { subject: content.subject, artifactType };
  return content.kind === 'index' || configTypes.includes(artifactType) ? 'image' : 'other';
}

/**
 * The platforms that an image is kept for, where none are asked for: everything in its index; or, since some programs save an index without
 * all that it names, the platforms whose manifests are there.
 */
async function choicesFor(context: FindContext, descriptor: StoredDescriptor, choices: Choices): Promise<OwnChoices> {
  const own = { ...choices, isFurther: false };
  if (choices.isPlatformAsked) return own;
  const whole: OwnChoices = { ...own, platforms: ['all'] };
  try {
    const content = await read(context, descriptor);
    if (content?.kind !== 'index') return whole;
    if (choices.keep !== 'oci') return own; // an archive is made for one platform
    const areThere = await Promise.all(content.entries.map(({ digest, size }) => context.store.hasBlob(digest, size)));
    if (areThere.every(Boolean)) return whole;
    const [first, ...others] = content.entries.flatMap(({ platform }, at) =>
      areThere[at] && platform && platform.os !== 'unknown' ? [platform] : [],
    );
    return first ? { ...own, platforms: [first, ...others], isPlatformAsked: true } : whole;
  } catch (error) {
    if (isImageError(error)) return whole; // it is reported where the image is kept
    throw error;
  }
}

/** Which images are wanted: by a name, or by the beginning of an ID. */
function createSelector(wanted: readonly string[]) {
  const asked = wanted.map((text) => ({ text, name: normalised(text) }));
  const matched = new Set<string>();
  return {
    matches(names: readonly string[], ids: readonly string[] = []): boolean {
      if (wanted.length === 0) return true;
      const fitting = asked.filter(
        ({ text, name }) =>
          names.includes(text) || (name !== undefined && names.includes(name)) || ids.some((id) => isIdOf(text, id)),
      );
      for (const { text } of fitting) matched.add(text);
      return fitting.length > 0;
    },
    unmatched: () => wanted.filter((text) => !matched.has(text)),
  };
}

function isIdOf(text: string, id: string): boolean {
  return /^sha(?:256:|512-)[0-9a-f]{2}/.test(text) && id.startsWith(text);
}

/** The name in the store of an image of a registry; undefined for what is none. */
function normalised(text: string): string | undefined {
  try {
    return nameOf(parseRegistryReference(text));
  } catch (error) {
    if (isImageError(error)) return undefined;
    throw error;
  }
}
