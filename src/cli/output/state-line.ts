import prettyBytes from 'pretty-bytes';

import {
  type BatchEvent,
  type Outcome,
  type PushOutcome,
  type PushTotals,
  shortId,
  show,
  showReference,
  showUrl,
  type Totals,
} from '../../internal.ts';

/**
 * Formats an event as a line; undefined for events that are no change of state. `reference` is that of the event's
 * node.
 */
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
    case 'upload-started':
      if (event.total < tellingBytes) return undefined;
      return `uploading ${shown} to ${showUrl(event.url)}`;
    case 'image-pushed':
      return pushFinished(event.outcome);
    case 'node-finished':
      return event.outcome.status === 'failed' ? undefined : finished(event.outcome);
    default:
      return undefined;
  }
}

/** That an archive is read which takes some time. */
export function readingLine({ path, total }: Extract<BatchEvent, { readonly type: 'archive-read' }>): string {
  return `reading ${show(path, 1000)}${total === undefined ? '' : `: ${size(total)}`}`;
}

function finished({ reference, status, imageID, bytesDownloaded, durationMs }: Outcome): string {
  const facts = [
    imageID === undefined ? '' : show(shortId(imageID)),
    bytesDownloaded ? size(bytesDownloaded) : '',
    status === 'fetched' && durationMs !== undefined ? `in ${formatDuration(durationMs)}` : '',
  ].filter((fact) => fact !== '');
  return `${status} ${showReference(reference)}${facts.length > 0 ? `: ${facts.join(' ')}` : ''}`;
}

/** An upload of fewer bytes gets no line of its own: an image has many of them. */
export const tellingBytes = 1024 * 1024;

/** Failed and skipped images have lines of their own. */
function pushFinished({ reference, status, pushed, bytesUploaded, durationMs }: PushOutcome): string | undefined {
  if (status === 'failed' || status === 'skipped') return undefined;
  const facts = [
    pushed === undefined ? '' : show(pushed, 400),
    bytesUploaded ? size(bytesUploaded) : '',
    status === 'pushed' && durationMs !== undefined ? `in ${formatDuration(durationMs)}` : '',
  ].filter((fact) => fact !== '');
  return `${status} ${showReference(reference)}${facts.length > 0 ? `: ${facts.join(' ')}` : ''}`;
}

/** Bytes for people: `2 KiB`, `1.5 MiB`. */
export function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

const statuses = ['fetched', 'present', 'failed', 'cancelled'] as const;

/** The last line of a run. */
export function summaryLine(totals: Totals): string {
  const counts = statuses.filter((status) => totals[status] > 0).map((status) => `${totals[status]} ${status}`);
  const { nodes, images, bytesDownloaded, durationMs } = totals;
  const dependencies = nodes > images ? ` and ${plural(nodes - images, 'dependency', 'dependencies')}` : '';
  const rate = durationMs > 0 ? `, ${size((bytesDownloaded / durationMs) * 1000)}/s` : '';
  const bytes = bytesDownloaded > 0 ? `${size(bytesDownloaded)} ` : '';
  return (
    `${plural(images, 'image', 'images')}${dependencies}: ${counts.join(', ') || 'nothing to do'}; ` +
    `${bytes}in ${formatDuration(durationMs)}${bytes && rate}`
  );
}

/**
 * The line after the summary of a run that was interrupted.
 *
 * @param begun - the images whose downloads had begun, and the bytes of these.
 */
export function keptLine(
  { fetched, present }: Totals,
  begun: { readonly images: number; readonly bytes: number },
): string {
  const there = fetched + present;
  const kept = [
    ...(there > 0 ? [plural(there, 'image', 'images')] : []),
    ...(begun.images > 0
      ? [`${size(begun.bytes)} of ${plural(begun.images, 'image', 'images')} not yet complete`]
      : []),
  ];
  if (kept.length === 0) return 'interrupted before anything had come: the same command begins again';
  return `interrupted; the store keeps ${kept.join(' and ')}: the same command goes on from there`;
}

const pushStatuses = ['pushed', 'present', 'planned', 'skipped', 'failed', 'cancelled'] as const;

/** The last line of a push. */
export function pushSummaryLine(totals: PushTotals): string {
  const counts = pushStatuses.filter((status) => totals[status] > 0).map((status) => `${totals[status]} ${status}`);
  const { images, bytesUploaded, blobsUploaded, blobsMounted, durationMs } = totals;
  const blobs = [
    ...(blobsUploaded > 0 ? [`${plural(blobsUploaded, 'blob', 'blobs')} of ${size(bytesUploaded)} sent`] : []),
    ...(blobsMounted > 0 ? [`${blobsMounted} mounted`] : []),
  ].map((fact) => `${fact}, `);
  const rate = bytesUploaded > 0 && durationMs > 0 ? `, ${size((bytesUploaded / durationMs) * 1000)}/s` : '';
  return (
    `${plural(images, 'image', 'images')}: ${counts.join(', ') || 'nothing to do'}; ` +
    `${blobs.join('')}in ${formatDuration(durationMs)}${rate}`
  );
}

/** The line after the summary of a push that was interrupted. */
export function pushKeptLine({ pushed, present }: PushTotals): string {
  const there = pushed + present;
  const images =
    there === 0 ? 'no image is at the target yet' : `${plural(there, 'image is', 'images are')} at the target`;
  return `interrupted; ${images}, and the registry keeps the blobs that were sent: the same command goes on from there`;
}

export function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A duration for people: `0.3 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
