import { show } from '../../image/show.ts';
import type { Source } from '../list.ts';
import { entriesOf, member, type Node, textMember } from '../located.ts';
import { notText } from './kubernetes.ts';
import { listIn, mapIn, platformsOf } from './wishes.ts';

/**
 * The images of a manifest of hauler. Charts and files are named.
 *
 * @see https://docs.hauler.dev/docs/hauler-usage/store/add/image
 */
export function readHauler(root: Node, source: Source): void {
  const kind = textMember(root, 'kind')?.text ?? '';
  const spec = member(root, 'spec');
  if (kind !== 'Images') {
    const names = entriesOf(root, 'spec').flatMap(([, items]) =>
      items.kind === 'list'
        ? items.items.map((item) => (textMember(item, 'name') ?? textMember(item, 'path'))?.text ?? '?')
        : [],
    );
    source.note(root.at, `${show(kind)} are skipped: ${show(names.join(', '))}`);
    return;
  }
  const annotations = new Map(entriesOf(member(root, 'metadata'), 'annotations'));
  const annotation = (name: string): Node | undefined => annotations.get(`hauler.dev/${name}`);
  const registry = annotation('registry');
  const unused = new Set([...annotations.keys()].filter((name) => /^hauler\.dev\/(?!platform$|registry$)/.test(name)));
  for (const image of listIn(spec, 'images', source)) {
    const name = member(image, 'name');
    if (name?.kind !== 'text') {
      source.problem((name ?? image).at, name ? notText(name, source) : 'an image has to have a name');
      continue;
    }
    const host = registry?.kind === 'text' && !hasHost(name.text) ? `${registry.text}/` : '';
    source.image(name.at, host + name.text, platformsOf(member(image, 'platform') ?? annotation('platform'), source));
    if (image.kind === 'map')
      for (const key of image.entries.keys()) if (key !== 'name' && key !== 'platform') unused.add(key);
  }
  if (unused.size > 0) source.note(root.at, `of the images these are not used: ${show([...unused].join(', '))}`);
}

/** Whether a reference names its registry, as docker tells it. */
function hasHost(text: string): boolean {
  const [first = '', ...rest] = text.split('/');
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
}

/**
 * The images of a lock of imgpkg, or the bundle.
 *
 * @see https://carvel.dev/imgpkg/docs/latest/resources/
 */
export function readImgpkg(root: Node, source: Source): void {
  const kind = textMember(root, 'kind')?.text ?? '';
  const images = kind === 'BundleLock' ? [member(root, 'bundle')] : listIn(root, 'images', source);
  if (kind !== 'BundleLock' && kind !== 'ImagesLock') return source.note(root.at, `${show(kind)} names no images`);
  for (const item of images) takeMember(item ?? root, 'image', source);
}

/**
 * The additional images of a set for oc-mirror. What has to be looked up in catalogues of OpenShift is named.
 *
 * @see https://docs.redhat.com/en/documentation/openshift_container_platform (image set configuration parameters)
 */
export function readOcMirror(root: Node, source: Source): void {
  for (const image of listIn(member(root, 'mirror'), 'additionalImages', source)) takeMember(image, 'name', source);
  for (const [key, value] of mapIn(root, 'mirror', source)) {
    if (key !== 'additionalImages')
      source.note(value.at, `mirror.${show(key)} is skipped: only additionalImages are taken`);
  }
}

function takeMember(item: Node, key: string, source: Source): void {
  const name = member(item, key);
  if (name?.kind === 'text') source.image(name.at, name.text);
  else source.problem((name ?? item).at, name ? notText(name, source) : `"${key}" is missing`);
}
