/** One way in that a server offers; scheme and parameter names in lower case. */
export type Challenge = { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> };

const gap = /[\s,]*/y;
const schemeForm = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]+|(?=,)|$)/y;
const parameterForm = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
/** What some schemes have in the place of parameters. */
const token68 = /[0-9A-Za-z._~+/-]+=*(?=\s*(?:,|$))/y;

/**
 * The challenges of a WWW-Authenticate, which may stand several times and hold several; what comes after something that
 * is none is left out.
 *
 * @see RFC 9110 11.6.1
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const texts = typeof header === 'string' ? [header] : (header ?? []);
  return texts.flatMap(parseOne);
}

function parseOne(text: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  const match = (form: RegExp): RegExpExecArray | null => {
    form.lastIndex = at;
    const found = form.exec(text);
    if (found) at = form.lastIndex;
    return found;
  };
  for (;;) {
    match(gap);
    const scheme = match(schemeForm)?.[1];
    if (scheme === undefined) return challenges;
    const parameters = new Map<string, string>();
    match(token68);
    for (let found = match(parameterForm); found; match(gap), found = match(parameterForm)) {
      const [, name = '', quoted, bare = ''] = found;
      parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? bare);
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
}
