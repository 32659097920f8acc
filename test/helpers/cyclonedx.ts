import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Ajv } from 'ajv';
import type { ExecutionContext } from 'ava';

/** What the tests read of a bill of materials. */
export type Bom = {
  readonly serialNumber: string;
  readonly metadata: { readonly timestamp: string; readonly properties: readonly object[] };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
};

export type Component = {
  readonly type: string;
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly purl: string;
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  readonly externalReferences: readonly { readonly url: string; readonly hashes?: readonly object[] }[];
  readonly properties: readonly { readonly name: string; readonly value: string }[];
};

const directory = join(
  dirname(fileURLToPath(import.meta.resolve('@cyclonedx/cyclonedx-library/package.json'))),
  'res/schema',
);

const uri = /^[a-z][a-z0-9+.-]*:(?:[\w:/?#[\]@!$&'()*+,;=.~-]|%[0-9A-Fa-f]{2})*$/;

const ajv = new Ajv({
  strict: false,
  formats: {
    'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/,
    'iri-reference': uri,
    uri,
    'idn-email': /@/,
    string: true,
  },
});
// their own IDs are those of the published files, but they name each other as the files of this package are named
for (const name of ['spdx', 'jsf-0.82'])
  ajv.addSchema(readSchema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
const validate = ajv.compile<Bom>(readSchema('bom-1.6'));

function readSchema(name: string): object {
  const schema = JSON.parse(readFileSync(join(directory, `${name}.SNAPSHOT.schema.json`), 'utf8')) as object;
  return name === 'bom-1.6' ? schema : { ...schema, $id: undefined };
}

/** Checks a document by the schema of CycloneDX 1.6, and that its references lead somewhere. */
export function readBom(t: ExecutionContext, text: string): Bom {
  const document: unknown = JSON.parse(text);
  if (!validate(document)) throw new Error(`${ajv.errorsText(validate.errors?.slice(-3))}: ${text.slice(0, 4000)}`);
  const refs = new Set(document.components.map((component) => component['bom-ref']));
  t.is(refs.size, document.components.length);
  for (const { ref, dependsOn } of document.dependencies) for (const one of [ref, ...dependsOn]) t.true(refs.has(one));
  return document;
}

export function valuesOf({ properties }: Component, name: string): readonly string[] {
  return properties.filter((property) => property.name === `longshore:${name}`).map(({ value }) => value);
}
