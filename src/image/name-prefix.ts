/** Whether a name is the prefix itself or lies below it: `example.com/foo` covers `example.com/foo/x`, not `example.com/foobar`. */
export function isWithinPrefix(name: string, prefix: string): boolean {
  return name === prefix || name.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
}

/** The name and its parents, longest first: `a.com/b/c`, `a.com/b`, `a.com`. */
export function withParents(name: string): readonly string[] {
  const parts = name.split('/');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}
