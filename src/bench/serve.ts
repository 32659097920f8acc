import { discoveryPage, inDirectory, startOrigin } from '../sample/origin.ts';

/**
 * The origin as a process of its own: `serve DIRECTORY PREFIX DELAY_MS BYTES_PER_SECOND LOSS`, where 0 lifts any. PREFIX is
 * that of all image names. Tells its parent its URL, and ends when the parent does.
 */
const [directory = '.', prefix = '', delayMs = '0', rate = '0', loss = '0'] = process.argv.slice(2);

for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined); // the parent decides
const origin = await startOrigin({
  find: inDirectory(directory),
  discoveryPage: discoveryPage('bench', prefix),
  delayMs: Number(delayMs),
  ...(Number(rate) > 0 && { rate: Number(rate) }),
  loss: Number(loss),
});
process.once('disconnect', () => void origin[Symbol.asyncDispose]());
process.send?.(origin.url);
