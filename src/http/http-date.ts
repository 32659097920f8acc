const imfFixdate =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/;

/** Milliseconds since the epoch, or undefined for anything but the one form that servers have to send. @see RFC 9110 5.6.7 */
export function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !imfFixdate.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
