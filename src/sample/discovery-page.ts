/** The page of a prefix whose images lie at `ORIGIN/NAME-VERSION.aci`, and their signatures beside them. */
export function discoveryPage(title: string, prefix: string): (origin: string) => string {
  return (origin) =>
    `<!doctype html><title>${title}</title><meta name="ac-discovery" content="${prefix} ${origin}/{name}-{version}.{ext}">\n`;
}
