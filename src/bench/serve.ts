import { discoveryPage, inDirectory, startOrigin } from '../sample/origin.ts';

/**
 * Runs the origin as a separate process: `serve DIRECTORY PREFIX DELAY_MS BYTES_PER_SECOND LOSS`, where 0 means no
 * limit. PREFIX is that of all image names. Sends its URL to the parent, and ends when the parent does.
 */
const [directory = '.', prefix = '', delayMs = '0', rate = '0', loss = '0'] = process.argv.slice(2);

// the parent handles these signals
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
const origin = await startOrigin({
  find: inDirectory(directory),
  discoveryPage: discoveryPage('bench', prefix),
  delayMs: Number(delayMs),
  ...(Number(rate) > 0 && { rate: Number(rate) }),
  loss: Number(loss),
});
process.once('disconnect', () => void origin[Symbol.asyncDispose]());
process.send?.(origin.url);
