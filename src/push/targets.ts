import { ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { isRegistryHost, isRepository, parseRegistryReference } from '../image/registry-reference.ts';
import { show, showUrl } from '../image/show.ts';
import type { PushRepository } from './context.ts';

/** A registry, and the path that all repositories get before their own; it may be empty. */
export type Destination = { readonly host: string; readonly prefix: string };

/** Where an image goes. Without a tag it is known by its digest there. */
export type PushTarget = PushRepository & {
  readonly tag?: string;
  /** Where the target's registry has the image already: the repository that it was fetched from. */
  readonly mountFrom?: string;
};

/** What all batches of a pusher know of a registry. */
export type TargetRegistry = {
  /** For each blob, a repository that has it or gets it; undefined once that has failed. */
  readonly first: Map<Digest, Promise<string | undefined>>;
  /** Whether the registry takes no chunks of a blob, or miscounts what it has taken. */
  readonly chunking: { isRefused: boolean };
  /** Whether it finds a blob that is mounted from the repository itself; undefined before it was tried. */
  findsByMount: boolean | undefined;
};

export function newTargetRegistry(): TargetRegistry {
  return { first: new Map(), chunking: { isRefused: false }, findsByMount: undefined };
}

const hubNames: readonly string[] = ['index.docker.io', 'registry-1.docker.io'];
const maxNameLength = 255;

/** Parses `docker://HOST[:PORT][/PREFIX]`. @throws USAGE */
export function parseDestination(text: string, option: string): Destination {
  const refuse = (problem: string) => {
    const shown = showUrl(text.replace(/^[^/]*\/\/[^/]*@/, (user) => user.replace(/[^/]*$/, '')));
    return new ImageError('USAGE', `${option}: ${problem}: want docker://HOST[/PREFIX], got "${shown}"`, { option });
  };
  const rest = /^docker:\/\/(.*)$/is.exec(text)?.[1]?.replace(/\/$/, '');
  if (rest === undefined) throw refuse('images are pushed to a registry');
  if (rest.includes('@')) throw refuse('user names, passwords and digests are refused');
  const slash = rest.indexOf('/');
  const named = (slash === -1 ? rest : rest.slice(0, slash)).toLowerCase();
  const prefix = slash === -1 ? '' : rest.slice(slash + 1);
  if (named === '' || !isRegistryHost(named)) throw refuse('not the host of a registry');
  if (prefix !== '' && !isRepository(prefix)) throw refuse('not the name of a repository');
  return { host: hubNames.includes(named) ? 'docker.io' : named, prefix };
}

/**
 * The place of an image at a destination: the path of its repository is kept, its host only if that is `scoped`. A port is written
 * with an underscore, since names of repositories have no colon.
 *
 * @param reference - as in the store.
 * @throws REFERENCE_INVALID if there is no such name.
 */
export function targetOf(reference: string, { host, prefix }: Destination, scoped: boolean): PushTarget {
  const source = parseRegistryReference(reference);
  const scope = scoped ? [source.host.replaceAll(/[^a-z0-9.-]+/g, '_').replaceAll(/^_+|_+$/g, '')] : [];
  const repository = [...(prefix === '' ? [] : [prefix]), ...scope, source.repository].join('/');
  if (!isRepository(repository) || host.length + 1 + repository.length > maxNameLength) {
    const message = `the name at the target would not be valid: ${show(repository, maxNameLength)}`;
    throw new ImageError('REFERENCE_INVALID', message, { input: reference });
  }
  return {
    ...{ host, repository },
    ...(source.tag !== undefined && source.digest === undefined && { tag: source.tag }),
    ...(source.host === host && source.repository !== repository && { mountFrom: source.repository }),
  };
}

export function showTarget({ host, repository, tag }: PushTarget): string {
  return `${host}/${repository}${tag === undefined ? '' : `:${tag}`}`;
}

/** At most this many conflicts are named. */
const shownConflicts = 8;

/** Checks that no tag is pushed for two images. @throws USAGE */
export function requireDistinct(images: Iterable<{ readonly reference: string; readonly target: PushTarget }>): void {
  const sources = new Map<string, Set<string>>();
  for (const { reference, target } of images) {
    if (target.tag === undefined) continue; // a digest stands for the same bytes whoever pushes it
    const name = showTarget(target);
    sources.set(name, (sources.get(name) ?? new Set()).add(reference));
  }
  const conflicts = [...sources].filter(([, references]) => references.size > 1);
  if (conflicts.length === 0) return;
  const shown = conflicts
    .slice(0, shownConflicts)
    .map(([name, references]) => `${show(name)} for ${[...references].map((one) => show(one)).join(' and ')}`);
  const more = conflicts.length > shownConflicts ? `; and ${conflicts.length - shownConflicts} more` : '';
  const message = `several images would get the same name at the target: ${shown.join('; ')}${more}`;
  throw new ImageError('USAGE', message, { option: 'scoped' });
}

/** The same for references of images that are not at hand yet. @throws USAGE */
export function requireDistinctTargets(references: readonly string[], to: string, scoped: boolean): void {
  const destination = parseDestination(to, 'to');
  requireDistinct(references.map((reference) => ({ reference, target: targetOf(reference, destination, scoped) })));
}
