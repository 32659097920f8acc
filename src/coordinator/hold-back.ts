import type { BatchEvent, EventSink } from '../events.ts';

/**
 * Keeps what happens to a node until it is known that there will be one: then tells it, and everything later at once. Of
 * events that replace each other only the last is kept, in the order of the last ones; warnings are kept all.
 */
export function holdBack(onEvent: EventSink, confirmed: Promise<void>): EventSink {
  const held = new Map<string | BatchEvent, BatchEvent>();
  let isConfirmed = false;
  void confirmed.then(() => {
    isConfirmed = true;
    for (const event of held.values()) onEvent(event);
    held.clear();
  });
  return (event) => {
    if (isConfirmed) return onEvent(event);
    const slot = event.type === 'warning' ? event : event.type;
    held.delete(slot);
    held.set(slot, event);
  };
}
