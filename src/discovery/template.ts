import type { Labels } from '../image/labels.ts';

/** Where an image and its signature are. Both are absolute URLs, http or https. */
export type Endpoint = { readonly archiveUrl: string; readonly signatureUrl: string };

/**
 * Fills a template in one pass, so that what is inserted is never read as a template itself.
 *
 * @returns undefined when a variable stays empty, `{ext}` is not used, or the result is no http(s) URL that means what it says.
 * @see appc 6.2, docs/rules.md D4, D5
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

/** A label cannot stand in for `{name}` or `{ext}`; without a version, or with an empty one, it is the latest. */
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

/** Absolute, http or https, without user information, and without a path that climbs once it is normalised. */
function isPlainUrl(text: string): boolean {
  const url = URL.parse(text);
  if (!url || !/^https?:\/\//i.test(text) || url.username || url.password) return false;
  return !/[/\\](?:\.|%2e){1,2}(?:[/\\?#]|$)/i.test(text);
}
