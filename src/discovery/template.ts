import type { Labels } from '../image/labels.ts';

/** The absolute http or https URLs of an image and its signature. */
export type Endpoint = { readonly archiveUrl: string; readonly signatureUrl: string };

/**
 * Fills a template in one pass, so that inserted values are not expanded again.
 *
 * @returns undefined if a variable has no value, `{ext}` is not used, or the result is not a plain URL.
 * @see appc spec/discovery.md, docs/rules.md D4, D5
 */
export function renderTemplate(template: string, name: string, labels: Labels): Endpoint | undefined {
  if (!template.includes('{ext}')) return undefined;
  const archiveUrl = fill(template, name, labels, 'aci');
  const signatureUrl = fill(template, name, labels, 'aci.asc');
  return archiveUrl !== undefined && signatureUrl !== undefined ? { archiveUrl, signatureUrl } : undefined;
}

function fill(template: string, name: string, labels: Labels, ext: string): string | undefined {
  let missing = false;
  const url = template.replace(/\{(.*?)\}/gs, (_, variable: string) => {
    const value = valueOf(variable, name, labels, ext);
    missing ||= value === undefined;
    return value ?? '';
  });
  return !missing && isPlainUrl(url) ? url : undefined;
}

/** The value of a variable. Labels do not replace `{name}` and `{ext}`; a missing or empty version is `latest`. */
function valueOf(variable: string, name: string, labels: Labels, ext: string): string | undefined {
  if (variable === 'name') return name;
  if (variable === 'ext') return ext;
  const value = labels.get(variable);
  if (variable === 'version' && !value) return 'latest';
  if (value === undefined || /[{}]/.test(value)) return undefined;
  return encodeURIComponent(value)
    .replace(/[!*'()]/g, percent)
    .replaceAll('%2B', '+');
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** Whether a URL is absolute, http or https, without a user, and without `.` or `..` in its path. */
function isPlainUrl(text: string): boolean {
  const url = URL.parse(text);
  if (!url || !/^https?:\/\//i.test(text) || url.username || url.password) return false;
  return !/[/\\](?:\.|%2e){1,2}(?:[/\\?#]|$)/i.test(text);
}
