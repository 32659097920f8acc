/** True for an absolute http or https URL without white space or control characters. @see appc 1.7 */
export function isHttpUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text)) return false; // the URL parser would drop them
  const protocol = URL.parse(text)?.protocol;
  return protocol === 'http:' || protocol === 'https:';
}
