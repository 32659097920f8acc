/** Options for Node, quoted for sh(1), that run code before the program. */
export const preload = (code: string): string => `--import '${preloadUrl(code)}'`;

/** The same code as a URL, for who starts Node without a shell: `--import URL`. */
export const preloadUrl = (code: string): string =>
  `data:text/javascript,${encodeURIComponent(code).replaceAll("'", '%27')}`;

/**
 * Takes away the 3 s after which an interrupted run is ended whatever it does: on a machine that has much else to do, that would be
 * before its own end.
 */
export const withoutGrace = `
  const set = globalThis.setTimeout;
  globalThis.setTimeout = (work, ms, ...rest) => set(work, ms === 3000 ? 3_600_000 : ms, ...rest);
`;
