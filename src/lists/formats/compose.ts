import { dirname, resolve } from 'node:path';
import { parseEnv } from 'node:util';

import { isImageError } from '../../errors.ts';
import { show } from '../../image/show.ts';
import { whyFailed } from '../../system/errno.ts';
import type { Source, Wishes } from '../list.ts';
import { itemsOf, member, type Node, textMember, type TextNode } from '../located.ts';
import { interpolate, type Variables } from './interpolate.ts';
import { notText } from './kubernetes.ts';
import { listIn, mapIn, platformsOf } from './wishes.ts';

/** How the files beside a list are read. */
export type Files = {
  /** The absolute path of the list, without symlinks; absent for standard input. */
  readonly path?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The text of a file, or undefined if it is not there. @throws for one that cannot be read */
  readonly read: (path: string) => string | undefined;
  /** The documents of a file. @throws for one that cannot be read; LIMIT_EXCEEDED after too many */
  readonly open: (
    path: string,
    directory?: string,
  ) => { readonly roots: readonly Node[]; readonly source: Source; readonly path: string } | undefined;
};

/** One file of a project. */
type Part = {
  readonly source: Source;
  readonly root: Node;
  readonly variables: Variables;
  readonly files: Files;
  /** The files that lead to this one, itself included. */
  readonly above: readonly string[];
};

/**
 * The images of the services of a Compose file, of all profiles, and of what it includes.
 *
 * @see https://docs.docker.com/reference/compose-file/
 */
export function readCompose(root: Node, source: Source, files: Files): void {
  const { environment, path } = files;
  const own = readVariables(resolve(source.directory, '.env'), files, source, root);
  const variables: Variables = (name) => environment[name] ?? own.get(name);
  readParts([{ root, source, variables, files, above: path === undefined ? [] : [path] }]);
}

/** Files that are one: of what several say, the last one counts. */
function readParts(parts: readonly Part[]): void {
  const services = new Map<string, Definition[]>();
  for (const part of parts) {
    for (const item of listIn(part.root, 'include', part.source)) include(item, part);
    for (const [name, node] of mapIn(part.root, 'services', part.source)) {
      const known = services.get(name);
      if (known) known.unshift({ node, part });
      else services.set(name, [{ node, part }]);
    }
  }
  for (const [name, definitions] of services) readService(name, definitions);
}

/** What a file says of a service. */
type Definition = { readonly node: Node; readonly part: Part };

function readService(name: string, definitions: readonly Definition[]): void {
  const [last] = definitions;
  if (!last) return;
  const {
    part: { source },
    node: service,
  } = last;
  const shown = `service ${show(name)}`;
  const found = definitions.map(({ node, part }) => extended(node, part, 0));
  if (found.some((one) => one.length === 0)) return; // which is reported
  const all = found.flat();
  const first = <T>(find: (node: Node, part: Part) => T | undefined): T | undefined => {
    for (const one of all) {
      const found = find(one.node, one.part);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const one of all) readVolumes(one.node, one.part);
  const image = first((node, its) => {
    const found = member(node, 'image');
    return found && { node: found, part: its };
  });
  const builds = first((node) => member(node, 'build')) !== undefined;
  const policy = first((node, its) => textOf(textMember(node, 'pull_policy'), its));
  if (policy === 'build' || policy === 'never') {
    source.note(service.at, `${shown} is skipped: it is not pulled (pull_policy: ${policy})`);
  } else if (image) {
    const platform = first((node, its) => platformOf(textMember(node, 'platform'), its));
    if (image.node.kind !== 'text') image.part.source.problem(image.node.at, notText(image.node, image.part.source));
    else takeImage(image.node, image.part, platform ?? {});
  } else if (builds || first((node) => member(node, 'provider')) !== undefined) {
    source.note(service.at, `${shown} is skipped: it ${builds ? 'only builds' : 'has a provider'}, and names no image`);
  } else {
    const advice = 'of files that complete each other, "docker compose config" makes one';
    source.problem(service.at, `${shown} has neither an image nor a build; ${advice}`);
  }
}

function takeImage(node: TextNode, part: Part, wishes: Wishes): void {
  const text = textOf(node, part);
  if (text !== undefined) part.source.image(node.at, text, wishes);
}

/** Mounts of images: `type: image`. */
function readVolumes(service: Node, part: Part): void {
  for (const volume of itemsOf(service, 'volumes')) {
    const image = textMember(volume, 'source');
    if (textMember(volume, 'type')?.text === 'image' && image) takeImage(image, part, {});
  }
}

/** The platform of a service, with its variables. */
function platformOf(node: TextNode | undefined, part: Part): Wishes | undefined {
  const text = textOf(node, part);
  return node && text !== undefined ? platformsOf({ ...node, text }, part.source) : undefined;
}

/** The value of a scalar with its variables; undefined, and reported, if that cannot be told. */
function textOf(node: TextNode | undefined, { source, variables }: Part): string | undefined {
  return node && interpolate(node.text, variables, (problem) => source.problem(node.at, problem));
}

const maxExtends = 32;

/** A service and those that it extends, itself first. Empty if that cannot be told, which is reported then. */
function extended(node: Node, part: Part, depth: number): readonly Definition[] {
  const own = { node, part };
  const from = member(node, 'extends');
  if (!from) return [own];
  const { source, files } = part;
  const service = from.kind === 'text' ? textOf(from, part) : textOf(textMember(from, 'service'), part);
  const file = textMember(from, 'file');
  if (service === undefined) {
    source.problem(from.at, 'extends has to name a service');
    return [];
  }
  if (depth >= maxExtends) {
    source.problem(from.at, `services that extend each other, more than ${maxExtends}`);
    return [];
  }
  const path = textOf(file, part);
  if (file && path === undefined) return [];
  const other = path === undefined ? undefined : openPart(resolve(source.directory, path), from, part, files);
  if (path !== undefined && !other) return [];
  const parts = other ?? [part];
  for (const one of parts) {
    const found = member(member(one.root, 'services'), service);
    if (!found) continue;
    const rest = extended(found, one, depth + 1);
    return rest.length === 0 ? [] : [own, ...rest];
  }
  source.problem(from.at, `there is no service "${show(service)}" to extend`);
  return [];
}

/** One item of `include`: a path, or a map with one or more. */
function include(item: Node, part: Part): void {
  const { source, files } = part;
  const named = item.kind === 'map' ? item.entries.get('path') : item;
  const paths = named?.kind === 'list' ? named.items : named ? [named] : [];
  if (paths.length === 0) return source.problem(item.at, 'include has to name a file');
  const included: Part[] = [];
  let base: string | undefined;
  for (const node of paths) {
    const path = node.kind === 'text' ? textOf(node, part) : undefined;
    if (node.kind !== 'text') source.problem(node.at, 'include has to name a file');
    if (path === undefined) continue;
    if (/^(?:oci|git|ssh|https?):\/\/|^git@/.test(path)) {
      source.note(node.at, `${show(path)} is not read: only files can be included`);
      continue;
    }
    const file = resolve(source.directory, path);
    const project = textOf(textMember(item, 'project_directory'), part);
    const directory = (base ??= project === undefined ? dirname(file) : resolve(source.directory, project));
    const parts = openPart(file, node, part, files, directory);
    const variableFiles = pathsOf(member(item, 'env_file'), part).map((one) => resolve(source.directory, one));
    const variables = (variableFiles.length > 0 ? variableFiles : [resolve(directory, '.env')]).map((one) =>
      readVariables(one, files, source, node, variableFiles.length > 0),
    );
    const lookUp: Variables = (name) => part.variables(name) ?? variables.findLast((one) => one.has(name))?.get(name);
    for (const one of parts ?? []) included.push({ ...one, variables: lookUp });
  }
  readParts(included);
}

function pathsOf(node: Node | undefined, part: Part): readonly string[] {
  const nodes = node?.kind === 'list' ? node.items : node ? [node] : [];
  return nodes.flatMap((one) => (one.kind === 'text' ? (textOf(one, part) ?? []) : []));
}

/** The documents of another file of the project; undefined, and reported, if it cannot be read or leads back to itself. */
function openPart(
  path: string,
  at: Node,
  { source, variables, above }: Part,
  files: Files,
  directory?: string,
): readonly Part[] | undefined {
  try {
    const opened = files.open(path, directory);
    if (!opened) {
      source.problem(at.at, `there is no file ${show(path, 1024)}`);
      return undefined;
    }
    if (above.includes(opened.path)) {
      source.problem(at.at, `${show(path, 1024)} includes itself, by way of ${above.length} files`);
      return undefined;
    }
    const shared = { source: opened.source, variables, files, above: [...above, opened.path] };
    return opened.roots.map((root) => ({ ...shared, root }));
  } catch (error) {
    if (isImageError(error)) throw error;
    source.problem(at.at, `${show(path, 1024)} cannot be read: ${show(whyFailed(error))}`);
    return undefined;
  }
}

/** The variables of a file such as `.env`. */
function readVariables(
  path: string,
  files: Files,
  source: Source,
  at: Node,
  isRequired = false,
): ReadonlyMap<string, string> {
  try {
    const text = files.read(path);
    if (text === undefined && isRequired) source.problem(at.at, `there is no file ${show(path, 1024)}`);
    const values = parseEnv(text ?? '');
    return new Map(Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  } catch (error) {
    source.problem(at.at, `${show(path, 1024)} cannot be read: ${show(whyFailed(error))}`);
    return new Map();
  }
}
