import type { Writable } from 'node:stream';

import { imageRow, listImages, type Entry, type ListRequest } from '../../index.ts';
import { isOn, valueOf } from '../options/read.ts';
import { write } from '../output/write.ts';
import { oneOf } from './choice.ts';
import { defaultFields, fieldText, fieldTitles, type ImageField } from './image-fields.ts';
import { toSafeJson } from './json-text.ts';
import { parseFields } from './parse-fields.ts';
import type { Subcommand } from './subcommand.ts';
import { formatTable } from './table.ts';

/** Rows are written in blocks: a write for each would take longer than all the rest. */
const blockLength = 64 * 1024;

type TableOptions = {
  readonly fields: readonly ImageField[];
  readonly legend: boolean;
  readonly full: boolean;
  readonly nowMs: number;
};

export const list: Subcommand = (line, { stdout }) => {
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
      if (output === 'json') await writeJson(stdout, entries);
      else await writeTable(stdout, entries, { ...table, nowMs: Date.now() });
      return [];
    },
  };
};

async function writeTable(stdout: Writable, entries: AsyncIterable<Entry>, options: TableOptions): Promise<void> {
  const { fields, legend } = options;
  const rows = legend ? [fields.map((field) => fieldTitles[field])] : [];
  for await (const entry of entries) rows.push(fields.map((field) => fieldText(field, entry, options)));
  await write(stdout, formatTable(rows, new Set([fields.indexOf('size')])));
}

async function writeJson(stdout: Writable, entries: AsyncIterable<Entry>): Promise<void> {
  let pending = '{"schema":"longshore.images/1","images":[';
  let separator = '';
  for await (const entry of entries) {
    pending += `${separator}\n${toSafeJson(imageRow(entry))}`;
    separator = ',';
    if (pending.length < blockLength) continue;
    await write(stdout, pending);
    pending = '';
  }
  await write(stdout, `${pending}${separator && '\n'}]}\n`);
}
