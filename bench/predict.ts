/** What longshore was measured to take, in milliseconds. */
export type Costs = {
  /** Until a first, small image is there: by the clock, and of processor time. */
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
  /** Before each of the two answers that an image needs, one after the other: signature and archive. */
  readonly latencyMs: number;
  /** Transfers at once. */
  readonly places: number;
};

export type Prediction = { readonly wallMs: number; readonly wall: 'processors' | 'main thread' | 'network' };

/**
 * After start-up, whatever takes longest: all work spread over the processors, the main thread's work, which nothing spreads, or
 * the network. That they overlap perfectly is the model's largest simplification; it knows no memory, disk or cache either.
 */
export function predict(costs: Costs, work: Work, surroundings: Surroundings): Prediction {
  const { images, packedMiB, tarMiB } = work;
  const { processors, bitsPerSecond, connectionBitsPerSecond, latencyMs, places } = surroundings;
  const mainMs = images * costs.mainMsAnImage + packedMiB * costs.mainMsAMiB;
  const threadsMs = images * costs.threadsMsAnImage + tarMiB * costs.threadsMsAMiB;
  const sendMs = (rate: number): number => ((packedMiB * 2 ** 23) / rate) * 1000;
  const connectionsMs = (sendMs(connectionBitsPerSecond) + images * 2 * latencyMs) / Math.min(places, images);
  const walls = [
    { wall: 'processors', ms: (mainMs + threadsMs) / processors },
    { wall: 'main thread', ms: mainMs },
    { wall: 'network', ms: Math.max(sendMs(bitsPerSecond), connectionsMs) },
  ] as const;
  const { wall, ms } = walls.reduce((most, other) => (other.ms > most.ms ? other : most));
  return { wall, wallMs: Math.max(costs.startMs, costs.startCpuMs / processors) + ms };
}
