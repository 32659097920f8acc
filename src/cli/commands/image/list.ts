import type { Writable } from 'node:stream';

import { type Entry, imageRow, listImages, type ListRequest } from '../../../internal.ts';
import { usageError } from '../../options/option.ts';
import { isOn, valueOf } from '../../options/read.ts';
import { formatTable, toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { defaultFields, fieldText, fieldTitles, openTrustedNow, type TrustedNow, trustFact } from './fields.ts';
import { type ImageField, imageFields, oneOf } from './options.ts';
import type { Subcommand } from './subcommand.ts';

/** Rows are written in blocks: one write for each row would take most of the time. */
const blockLength = 64 * 1024;

type TableOptions = {
  readonly fields: readonly ImageField[];
  readonly legend: boolean;
  readonly full: boolean;
  readonly nowMs: number;
  readonly isTrusted: TrustedNow;
};

export const list: Subcommand = (line, io) => {
  const { stdout } = io;
  const request: ListRequest = {
    sort: valueOf(line, 'sort', oneOf(['importtime', 'lastused', 'name', 'size'])) ?? 'importtime',
    order: valueOf(line, 'order', oneOf(['asc', 'desc'])) ?? 'asc',
  };
  const table = {
    fields: valueOf(line, 'fields', parseFields) ?? defaultFields,
    legend: !isOn(line, 'no-legend'),
    full: isOn(line, 'full'),
  };
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  return {
    access: 'read',
    async run(store) {
      const entries = listImages(store, request);
      const isTrusted = await openTrustedNow(line, io);
      if (output === 'json') await writeJson(stdout, entries, isTrusted);
      else await writeTable(stdout, entries, { ...table, isTrusted, nowMs: Date.now() });
      return [];
    },
  };
};

async function writeTable(stdout: Writable, entries: AsyncIterable<Entry>, options: TableOptions): Promise<void> {
  const { fields, legend } = options;
  const rows = legend ? [fields.map((field) => fieldTitles[field])] : [];
  const showsTrust = fields.includes('verified');
  for await (const entry of entries) {
    const isTrusted = !showsTrust || (await options.isTrusted(entry));
    rows.push(fields.map((field) => fieldText(field, entry, { ...options, isTrusted })));
  }
  await write(stdout, formatTable(rows, new Set([fields.indexOf('size')])));
}

async function writeJson(stdout: Writable, entries: AsyncIterable<Entry>, isTrusted: TrustedNow): Promise<void> {
  let pending = '{"schema":"longshore.images/1","images":[';
  let separator = '';
  for await (const entry of entries) {
    pending += `${separator}\n${toSafeJson({ ...imageRow(entry), ...trustFact(await isTrusted(entry)) })}`;
    separator = ',';
    if (pending.length < blockLength) continue;
    await write(stdout, pending);
    pending = '';
  }
  await write(stdout, `${pending}${separator && '\n'}]}\n`);
}

const parseField = oneOf(imageFields);

/** `--fields`: columns separated by commas, in the order of output. @throws USAGE for unknown and repeated ones. */
export function parseFields(text: string, option: string): readonly ImageField[] {
  const fields = text.split(',').map((word) => parseField(word, option));
  const twice = fields.find((field, index) => fields.indexOf(field) !== index);
  if (twice !== undefined) throw usageError(`"${twice}" is there twice`, option);
  return fields;
}
