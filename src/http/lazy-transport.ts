import { ImageError } from '../errors.ts';
import type { Agents, Routes } from './agents.ts';
import type { HttpOptions, Transport } from './types.ts';

type Opened = { readonly agents: Agents; readonly transport: Transport };

/** The session over undici, which comes with the first request: to load it takes longer than many a command runs. */
export function lazyTransport(
  options: HttpOptions,
  routes: Routes,
): { readonly transport: Transport; readonly close: () => Promise<void> } {
  let opening: Promise<Opened> | undefined;
  let isClosed = false;
  return {
    async transport(request, signal) {
      if (isClosed) throw new ImageError('CANCELLED', 'the http client was closed', { reason: 'closed' });
      const { transport } = await (opening ??= open(options, routes));
      return transport(request, signal);
    },
    async close() {
      isClosed = true;
      await (await opening)?.agents.close();
    },
  };
}

async function open(options: HttpOptions, routes: Routes): Promise<Opened> {
  const [{ openAgents }, { undiciTransport }] = await Promise.all([
    import('./agents.ts'),
    import('./undici-transport.ts'),
  ]);
  const agents = openAgents(options, routes);
  return { agents, transport: undiciTransport(agents, options.timeouts) };
}
