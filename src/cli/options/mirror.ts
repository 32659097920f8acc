import { showReference, type MirrorRule } from '../../index.ts';
import { splitNamedValue } from './named-value.ts';
import { usageError } from './usage-error.ts';

const prefixForm = /^[a-z0-9.-]+(?::\d+)?(?:\/[a-z0-9._-]+)*$/;

/**
 * `HOST=ORIGIN`, given any number of times: a mirror of a registry, or of a namespace of one, which may also say what tags
 * mean. Of several the first is asked first.
 *
 * @throws USAGE
 */
export function parseMirrors(texts: readonly string[], option: string): readonly MirrorRule[] {
  const rules = new Map<string, MirrorRule>();
  for (const text of texts) {
    const { name: prefix, value } = splitNamedValue(text, option);
    if (!prefixForm.test(prefix))
      throw usageError(`"${showReference(prefix)}" is not a registry, nor a part of one`, option);
    const url = URL.parse(value);
    const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.href === url.origin + url.pathname;
    if (!isPlain) throw usageError(`want an origin such as https://mirror.lan:5000 for ${prefix}`, option);
    const path = url.pathname.replace(/^\/|\/$/g, '');
    const mirror = { origin: url.origin, ...(path !== '' && { prefix: path }), resolves: true };
    rules.set(prefix, { prefix, mirrors: [...(rules.get(prefix)?.mirrors ?? []), mirror] });
  }
  return [...rules.values()];
}
