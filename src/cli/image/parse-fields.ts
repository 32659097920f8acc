import { show } from '../../index.ts';
import { usageError } from '../options/usage-error.ts';
import { defaultFields, imageFields, type ImageField } from './image-fields.ts';

/** `--fields`: a comma list of columns, in the order they are to stand. @throws USAGE for unknown and repeated ones. */
export function parseFields(text: string | undefined, option: string): readonly ImageField[] {
  if (text === undefined) return defaultFields;
  const fields: ImageField[] = [];
  for (const word of text.split(',')) {
    const field = imageFields.find((name) => name === word);
    if (!field) throw usageError(`unknown field "${show(word)}"; there are ${imageFields.join(', ')}`, option);
    if (fields.includes(field)) throw usageError(`field "${field}" is there twice`, option);
    fields.push(field);
  }
  return fields;
}
