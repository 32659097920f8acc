import type { ExecutionContext } from 'ava';

import type { PushOutcome, PushTotals } from '../../src/events/push.ts';
import { createPusher, type PushCall, type PusherOptions, type PushInput } from '../../src/pusher.ts';
import { type PushTarget, startPushTarget, type TargetOptions } from './push-target.ts';
import { openRegistryFetching, type RegistryFetching } from './registry-fetching.ts';
import { sharedPool } from './shared-pool.ts';

export type Pushing = RegistryFetching & {
  readonly target: PushTarget;
  /** Pushes to the target. */
  push(
    this: void,
    images: readonly (string | PushInput)[],
    call?: Partial<PushCall>,
    options?: Partial<PusherOptions>,
  ): Promise<{ readonly outcomes: readonly PushOutcome[]; readonly totals: PushTotals }>;
};

/** A registry that images come from, a store that keeps them as they come, and a registry that they are pushed to. */
export async function openPushing(t: ExecutionContext, options: TargetOptions = {}): Promise<Pushing> {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const target = await startPushTarget(t, options);
  const { store } = fetching;
  return {
    ...fetching,
    target,
    async push(images, call = {}, settings = {}) {
      const ca = target.ca === '' ? {} : { ca: [target.ca] };
      await using pusher = createPusher({ store, pool: sharedPool, retries: 0, ...ca, ...settings });
      return await pusher.pushImages(images, { to: `docker://${target.host}`, ...call });
    },
  };
}
