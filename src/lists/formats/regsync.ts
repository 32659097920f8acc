import { show } from '../../image/show.ts';
import type { Selection, Source } from '../list.ts';
import { member, type Node, textMember, type TextNode } from '../located.ts';
import { notText } from './kubernetes.ts';
import { listIn, patternsOf, platformsOf, textsOf } from './wishes.ts';

/** What regsync has for its own work: where to, when, how fast. */
const used = {
  step: ['source', 'type', 'tags', 'platform', 'platforms'],
  credentials: ['registry', 'user', 'pass', 'tls'],
  root: ['version', 'sync', 'creds', 'defaults'],
  tags: ['allow', 'deny', 'semverRange'],
};

/**
 * The sources of a configuration of regsync; its targets are not used.
 *
 * @see https://regclient.org/cli/regsync/
 */
export function readRegsync(root: Node, source: Source): void {
  const unused = new Map<string, number>();
  const noteUnused = (node: Node, known: readonly string[], prefix = ''): void => {
    if (node.kind !== 'map') return;
    for (const [key, { at }] of node.entries) {
      if (!known.includes(key) && !key.startsWith('x-') && !unused.has(prefix + key)) unused.set(prefix + key, at);
    }
  };
  noteUnused(root, used.root);
  for (const credentials of listIn(root, 'creds', source)) {
    noteUnused(credentials, used.credentials, 'creds.');
    readCredentials(credentials, source);
  }
  const defaults = member(root, 'defaults');
  if (defaults) noteUnused(defaults, [], 'defaults.');
  for (const step of listIn(root, 'sync', source)) {
    noteUnused(step, used.step);
    const tags = member(step, 'tags');
    if (tags) noteUnused(tags, used.tags, 'tags.');
    if (tags && tags.kind !== 'map') source.problem(tags.at, 'tags has to be a map');
    readStep(step, source);
  }
  const [first] = unused.values();
  if (first !== undefined)
    source.note(
      first,
      `what regsync alone needs is not used: ${[...unused.keys()].map((key) => show(key)).join(', ')}`,
    );
}

function readStep(step: Node, source: Source): void {
  const from = member(step, 'source');
  if (from?.kind !== 'text') {
    source.problem((from ?? step).at, from ? notText(from, source) : 'a step has to name its source');
    return;
  }
  const wishes = platformsOf(member(step, 'platforms') ?? member(step, 'platform'), source);
  const type = textMember(step, 'type')?.text ?? '';
  switch (type) {
    case 'image':
      source.image(from.at, from.text, wishes);
      break;
    case 'repository':
      source.tags(from.at, from.text, selectionOf(member(step, 'tags'), source), wishes);
      break;
    case 'registry':
      source.problem(from.at, `${show(from.text)} is asked for none of its repositories: name those that are meant`);
      break;
    default:
      source.problem(step.at, `the type of a step is image, repository or registry, not "${show(type)}"`);
  }
}

function selectionOf(tags: Node | undefined, source: Source): Selection {
  const ranges = textsOf(member(tags, 'semverRange'), 'semverRange has ranges of versions', source);
  const semver = ranges.map(({ text }) => text).join(' || ');
  return {
    ...patternsOf(tags, { include: 'allow', exclude: 'deny' }, source),
    ...(semver !== '' && { semver }),
  };
}

function readCredentials(credentials: Node, source: Source): void {
  const registry = textMember(credentials, 'registry');
  if (!registry) return source.problem(credentials.at, 'credentials have to name their registry');
  const host = registry.text;
  const [user, pass, tls] = ['user', 'pass', 'tls'].map((key) => textMember(credentials, key));
  if (user && pass && !isTemplate(user) && !isTemplate(pass))
    source.registry(user.at, { host, credentials: { user: user.text, password: pass.text } });
  else if (user ?? pass) {
    const why = user && pass ? 'they are templates, which are not filled in' : 'they are not whole';
    source.note((user ?? pass ?? registry).at, `the credentials of ${show(host)} are not used: ${why}`);
  }
  if (tls?.text === 'insecure') source.registry(tls.at, { host, insecure: 'tls' });
  if (tls?.text === 'disabled') source.registry(tls.at, { host, insecure: 'http' });
}

function isTemplate({ text }: TextNode): boolean {
  return text.includes('{{');
}
