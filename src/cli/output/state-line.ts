import prettyBytes from 'pretty-bytes';

import { show, showReference, showUrl, type BatchEvent, type Outcome } from '../../index.ts';
import { formatDuration } from './duration.ts';

/** What a change of state looks like as a line; nothing for events that are none. `reference` is that of the event's node. */
export function stateLine(event: BatchEvent, reference: string): string | undefined {
  const shown = showReference(reference);
  switch (event.type) {
    case 'waiting':
      return `waiting ${shown}: ${show(event.reason)}`;
    case 'download-started': {
      const total = event.total === undefined ? '' : ` of ${size(event.total)}`;
      return event.resumedFrom > 0
        ? `resuming ${shown} at ${size(event.resumedFrom)}${total} from ${showUrl(event.url)}`
        : `downloading ${shown}${total && `: ${total.slice(4)}`} from ${showUrl(event.url)}`;
    }
    case 'retry':
      return `retrying ${shown} in ${formatDuration(event.delayMs)}: ${event.status ?? show(event.code)} from ${showUrl(event.url)}`;
    case 'node-finished':
      return event.outcome.status === 'failed' ? undefined : finished(event.outcome);
    default:
      return undefined;
  }
}

function finished({ reference, status, imageID, bytesDownloaded, durationMs }: Outcome): string {
  const facts = [
    imageID === undefined ? '' : show(imageID.slice(0, 39)),
    bytesDownloaded ? size(bytesDownloaded) : '',
    status === 'fetched' && durationMs !== undefined ? `in ${formatDuration(durationMs)}` : '',
  ].filter((fact) => fact !== '');
  return `${status} ${showReference(reference)}${facts.length > 0 ? `: ${facts.join(' ')}` : ''}`;
}

function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}
