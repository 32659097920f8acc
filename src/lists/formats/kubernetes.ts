import type { Source } from '../list.ts';
import { itemsOf, member, type Node, textMember } from '../located.ts';

/** The parts of a pod that have images. */
const containerKeys = ['initContainers', 'containers', 'ephemeralContainers'];

/** What looks like a pod in these is data or a schema. */
const withoutPods = new Set(['ConfigMap', 'Secret', 'CustomResourceDefinition']);

/**
 * The images of objects of Kubernetes: of every pod and every template of a pod in an object of any kind, wherever it stands in it, so
 * also those in lists and in custom resources; of image volumes; and of OpenKruise's jobs that pull images.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 * @see https://openkruise.io/docs/user-manuals/imagepulljob
 */
export function readKubernetes(root: Node, source: Source): void {
  const seen = new Set<Node>(); // what aliases share is looked at once
  const open: Node[] = [root];
  for (let node = open.pop(); node; node = open.pop()) {
    if (node.kind === 'text' || seen.has(node)) continue;
    seen.add(node);
    if (node.kind === 'map') {
      if (withoutPods.has(textMember(node, 'kind')?.text ?? '') && textMember(node, 'apiVersion')) continue;
      readObject(node, source);
    }
    const inner = node.kind === 'list' ? node.items : [...node.entries.values()];
    for (let index = inner.length - 1; index >= 0; index -= 1) open.push(inner[index] as Node); // in the order of the text
  }
}

function readObject(node: Node, source: Source): void {
  for (const key of containerKeys) for (const container of itemsOf(node, key)) take(member(container, 'image'), source);
  for (const volume of itemsOf(node, 'volumes')) take(member(member(volume, 'image'), 'reference'), source);
  if (!/^apps\.kruise\.io\//.test(textMember(node, 'apiVersion')?.text ?? '')) return;
  const kind = textMember(node, 'kind')?.text;
  const spec = member(node, 'spec');
  if (kind === 'ImagePullJob') take(member(spec, 'image'), source);
  if (kind === 'ImageListPullJob') for (const image of itemsOf(spec, 'images')) take(image, source);
}

/** A container without an image gets it later: from what the object is merged into. */
function take(image: Node | undefined, source: Source): void {
  if (!image || (image.kind === 'text' && image.text === '')) return;
  if (image.kind === 'text') source.image(image.at, image.text);
  else source.problem(image.at, notText(image, source));
}

/** What to say where a text was expected. A template in braces reads as maps. */
export function notText({ at }: Node, { text }: Pick<Source, 'text'>): string {
  return text.startsWith('{{', at)
    ? 'a template that is still open ({{ … }}): take what comes out of it, such as what helm template prints'
    : 'expected a reference of an image';
}
