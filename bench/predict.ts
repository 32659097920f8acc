/** Measured costs of longshore, in milliseconds. */
export type Costs = {
  /** Until a first, small image is in the store: time and processor time. */
  readonly startMs: number;
  readonly startCpuMs: number;
  /** The main thread, for each image and for each MiB as transferred. */
  readonly mainMsAnImage: number;
  readonly mainMsAMiB: number;
  /** All other threads, for each image and for each MiB of tar: inflate, hash, write. */
  readonly threadsMsAnImage: number;
  readonly threadsMsAMiB: number;
};

export type Work = { readonly images: number; readonly packedMiB: number; readonly tarMiB: number };

export type Surroundings = {
  readonly processors: number;
  /** Of the whole network, and of one connection. */
  readonly bitsPerSecond: number;
  readonly connectionBitsPerSecond: number;
  /** Before each of the two consecutive answers for an image: signature and archive. */
  readonly latencyMs: number;
  /** Parallel transfers. */
  readonly slots: number;
};

export type Prediction = { readonly wallMs: number; readonly wall: 'processors' | 'main thread' | 'network' };

/**
 * Start-up, plus the longest of: all work divided by the processors, the work of the main thread, which cannot be
 * divided, and the network. The largest simplification is that these overlap perfectly. Memory, disk and caches are
 * ignored.
 */
export function predict(costs: Costs, work: Work, surroundings: Surroundings): Prediction {
  const { images, packedMiB, tarMiB } = work;
  const { processors, bitsPerSecond, connectionBitsPerSecond, latencyMs, slots } = surroundings;
  const mainMs = images * costs.mainMsAnImage + packedMiB * costs.mainMsAMiB;
  const threadsMs = images * costs.threadsMsAnImage + tarMiB * costs.threadsMsAMiB;
  const sendMs = (rate: number): number => ((packedMiB * 2 ** 23) / rate) * 1000;
  const connectionsMs = (sendMs(connectionBitsPerSecond) + images * 2 * latencyMs) / Math.min(slots, images);
  const walls = [
    { wall: 'processors', ms: (mainMs + threadsMs) / processors },
    { wall: 'main thread', ms: mainMs },
    { wall: 'network', ms: Math.max(sendMs(bitsPerSecond), connectionsMs) },
  ] as const;
  const { wall, ms } = walls.reduce((most, other) => (other.ms > most.ms ? other : most));
  return { wall, wallMs: Math.max(costs.startMs, costs.startCpuMs / processors) + ms };
}
