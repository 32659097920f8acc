import type { EventSink } from '../events.ts';
import type { Slots } from '../fetchers/context.ts';

export type Telling = { readonly key: string; readonly onEvent: EventSink; readonly nowMs: () => number };

/** The same places, told of as one node gets them, with how long it waited. */
export function tellPlaces(slots: Slots, { key, onEvent, nowMs }: Telling): Slots {
  return {
    run(host, signal, work) {
      const askedMs = nowMs();
      return slots.run(host, signal, (slot) => {
        const waitedMs = Math.max(0, nowMs() - askedMs);
        onEvent({ type: 'place-taken', key, waitedMs, ...(host !== undefined && { host }) });
        return work(slot);
      });
    },
    answered: (host) => slots.answered(host),
    ahead: (confirmed) => tellPlaces(slots.ahead(confirmed), { key, onEvent, nowMs }),
  };
}
