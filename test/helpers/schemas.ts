import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ExecutionContext } from 'ava';

const directory = join(import.meta.dirname, '../../schemas');

/** The names of the schemas in the package, such as `fetch-1`. */
export const schemaNames: readonly string[] = readdirSync(directory).map((name) => name.replace(/\.json$/, ''));

const ajv = new Ajv2020({
  strict: true,
  allErrors: true,
  // `required` stands beside the properties that it names in `if` and `oneOf`
  strictRequired: false,
  strictTypes: false,
  schemas: schemaNames.map((name) =>
    closed(JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8'))),
  ) as object[],
  formats: { 'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ },
});

/** A schema by which a member that it does not describe is wrong. The published one leaves room for later ones. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const parts = Object.fromEntries(Object.entries(schema).map(([name, part]) => [name, closed(part)]));
  const isObject = parts['type'] === 'object' && !('additionalProperties' in parts);
  return isObject ? { ...parts, additionalProperties: false } : parts;
}

/** Checks a document of the command by the schema that it names. @returns the document */
export function fits(t: ExecutionContext, text: string): Record<string, unknown> {
  const document = JSON.parse(text) as Record<string, unknown>;
  const name = String(document['schema'])
    .replace(/^longshore\./, '')
    .replace('/', '-');
  const validate = ajv.getSchema(`https://longshore.invalid/schemas/${name}.json`);
  if (!validate) throw new Error(`no schema for ${name}`);
  t.true(validate(document), `${name}: ${ajv.errorsText(validate.errors?.slice(-3))}: ${text.slice(0, 4000)}`);
  return document;
}
