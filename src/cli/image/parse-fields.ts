import { usageError } from '../options/usage-error.ts';
import { oneOf } from './choice.ts';
import { imageFields, type ImageField } from './image-fields.ts';

const parseField = oneOf(imageFields);

/** `--fields`: a comma list of columns, in the order they are to stand. @throws USAGE for unknown and repeated ones. */
export function parseFields(text: string, option: string): readonly ImageField[] {
  const fields = text.split(',').map((word) => parseField(word, option));
  const twice = fields.find((field, index) => fields.indexOf(field) !== index);
  if (twice !== undefined) throw usageError(`"${twice}" is there twice`, option);
  return fields;
}
