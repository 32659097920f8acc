import type { Writable } from 'node:stream';

import { imageRow, listImages, type ListRequest, type Store, type StoredImage } from '../../index.ts';
import { fieldText, fieldTitles, type ImageField } from './image-fields.ts';
import { toSafeJson } from './json-text.ts';
import { formatTable } from './table.ts';
import { write } from './write.ts';

export type ListOptions = ListRequest & {
  readonly fields: readonly ImageField[];
  readonly legend: boolean;
  readonly full: boolean;
  readonly output: 'text' | 'json';
};

export async function writeImageList(
  stdout: Writable,
  store: Store,
  options: ListOptions,
  nowMs: number,
): Promise<void> {
  const images = listImages(store, options);
  if (options.output === 'json') return writeJson(stdout, images);
  const rows = options.legend ? [options.fields.map((field) => fieldTitles[field])] : [];
  for await (const image of images)
    rows.push(options.fields.map((field) => fieldText(field, image, { full: options.full, nowMs })));
  const sizes = options.fields.flatMap((field, column) => (field === 'size' ? [column] : []));
  await write(stdout, formatTable(rows, new Set(sizes)));
}

async function writeJson(stdout: Writable, images: AsyncIterable<StoredImage>): Promise<void> {
  let separator = '';
  await write(stdout, '{"schema":"longshore.images/1","images":[');
  for await (const image of images) {
    await write(stdout, `${separator}\n${toSafeJson(imageRow(image))}`);
    separator = ',';
  }
  await write(stdout, `${separator && '\n'}]}\n`);
}
