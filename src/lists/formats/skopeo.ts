import { show } from '../../image/show.ts';
import type { Source } from '../list.ts';
import { member, type Node, textMember } from '../located.ts';
import { notText } from './kubernetes.ts';
import { mapIn } from './wishes.ts';

const known = new Set(['images', 'images-by-tag-regex', 'images-by-semver', 'credentials', 'tls-verify', 'cert-dir']);

/**
 * What `skopeo sync --src yaml` copies: for each registry repositories, with tags and digests, or with all tags.
 *
 * @see skopeo-sync(1)
 */
export function readSkopeo(root: Node, source: Source): void {
  if (root.kind !== 'map') return source.problem(root.at, 'expected registries, each with what to take from it');
  for (const [host, registry] of root.entries) {
    if (registry.kind !== 'map') {
      source.problem(registry.at, `expected what to take from ${show(host)}`);
      continue;
    }
    readImages(host, registry, source);
    for (const [repository, pattern] of mapIn(registry, 'images-by-tag-regex', source)) {
      if (pattern.kind !== 'text') source.problem(pattern.at, 'expected a pattern of tags');
      else source.tags(pattern.at, `${host}/${repository}`, { include: [pattern.text], match: 'part' });
    }
    for (const [repository, range] of mapIn(registry, 'images-by-semver', source)) {
      if (range.kind !== 'text') source.problem(range.at, 'expected a range of versions');
      else source.tags(range.at, `${host}/${repository}`, { semver: range.text });
    }
    readSettings(host, registry, source);
  }
}

function readImages(host: string, registry: Node, source: Source): void {
  for (const [repository, tags] of mapIn(registry, 'images', source)) {
    const name = `${host}/${repository}`;
    if (tags.kind === 'text' && tags.isNull) source.tags(tags.at, name, {});
    else if (tags.kind !== 'list') source.problem(tags.at, `expected the tags of ${show(name)}`);
    else if (tags.items.length === 0) source.tags(tags.at, name, {});
    else {
      for (const tag of tags.items) {
        if (tag.kind !== 'text') source.problem(tag.at, notText(tag, source));
        else source.image(tag.at, `${name}${tag.text.startsWith('sha256:') ? '@' : ':'}${tag.text}`);
      }
    }
  }
}

function readSettings(host: string, registry: Node & { readonly kind: 'map' }, source: Source): void {
  const credentials = member(registry, 'credentials');
  const user = textMember(credentials, 'username');
  const password = textMember(credentials, 'password');
  if (credentials && user && password)
    source.registry(credentials.at, { host, credentials: { user: user.text, password: password.text } });
  else if (credentials) source.problem(credentials.at, 'credentials are a username and a password');
  const verify = textMember(registry, 'tls-verify');
  if (verify && /^(?:false|no|off)$/i.test(verify.text)) source.registry(verify.at, { host, insecure: 'tls' });
  const certificates = textMember(registry, 'cert-dir');
  if (certificates) {
    const where = `~/.config/containers/certs.d/${show(host)}`;
    source.note(certificates.at, `cert-dir is not read: put the certificates into ${where}`);
  }
  for (const [key, value] of registry.entries)
    if (!known.has(key)) source.note(value.at, `"${show(key)}" of ${show(host)} is not known, and not used`);
}
