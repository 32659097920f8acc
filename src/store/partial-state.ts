import type { Validator } from './store.ts';

/** What is needed to resume a download, kept beside its bytes. */
export type PartialState = {
  /** SHA-256 of the exact URL, hex. */
  readonly key: string;
  /** For people: without credentials and query. */
  readonly url: string;
  readonly epoch: number;
  readonly validator?: Validator;
  readonly total?: number;
  /** Bytes that survive a power cut. */
  readonly synced: number;
  /** Of the system that wrote this. */
  readonly bootId?: string;
};

export function formatPartialState(state: PartialState): string {
  return `${JSON.stringify(state)}\n`;
}

/** @returns undefined for what is torn, or not of `key`: nothing of that download can be relied upon. */
export function parsePartialState(text: string, key: string): PartialState | undefined {
  const value = parseObject(text);
  if (value?.['key'] !== key) return undefined;
  const { url, epoch, total, synced, bootId } = value;
  const validator = parseValidator(value['validator']);
  if (typeof url !== 'string' || !isCount(epoch) || !isCount(synced) || validator === 'damaged') return undefined;
  if (total !== undefined && !isCount(total)) return undefined;
  if (bootId !== undefined && typeof bootId !== 'string') return undefined;
  return {
    key,
    url,
    epoch,
    synced,
    ...(validator && { validator }),
    ...(total !== undefined && { total }),
    ...(bootId !== undefined && { bootId }),
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function parseValidator(value: unknown): Validator | undefined | 'damaged' {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('value' in value)) return 'damaged';
  const { kind, value: text } = value;
  return (kind === 'etag' || kind === 'last-modified') && typeof text === 'string' ? { kind, value: text } : 'damaged';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
