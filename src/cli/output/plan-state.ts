import prettyBytes from 'pretty-bytes';

import { show, type PlanOutcome } from '../../index.ts';

/** `sha512-` and 32 hex digits. */
const shortLength = 39;

/** What a plan says of one image, in a few words. */
export function planState(outcome: PlanOutcome, { full }: { readonly full: boolean }): string {
  const { reference, status, imageID = '', source = '', signature, error } = outcome;
  switch (status) {
    case 'present':
      return `present, ${show(full ? imageID : imageID.slice(0, shortLength))}`;
    case 'absent': {
      const signed = signature === undefined ? '' : ', signed';
      const from = source === reference ? '' : `, from ${show(source, 2048)}`;
      return `to fetch, ${sizeText(outcome)}${signed}${from}`;
    }
    case 'failed':
      return `failed: ${error?.code ?? 'INTERNAL'}`;
    case 'cancelled':
      return 'cancelled';
  }
}

/** True while only the archive, which is elsewhere, says what the image needs. */
export function hidesDependencies({ status, needs }: PlanOutcome): boolean {
  return status === 'absent' && needs === undefined;
}

function sizeText({ bytesToFetch }: PlanOutcome): string {
  return bytesToFetch === undefined ? 'of unknown size' : prettyBytes(bytesToFetch, { binary: true });
}
