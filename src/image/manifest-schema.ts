import * as z from 'zod';

import { acIdentifierProblem, acNameProblem } from './ac-identifier.ts';
import { labelFaults } from './labels.ts';
import { isHttpUrl, isolatorValues, isRfc3339, semVerProblem } from './manifest-values.ts';
import { describeIssue, listOf, text } from './shape.ts';

const flag = z.boolean().nullish();
const count = z.int().min(0, 'must not be negative').nullish();
const identifier = checkedText(acIdentifierProblem);
const acName = checkedText(acNameProblem);
const required = z.string().min(1, 'is required');

function checkedText(problemOf: (text: string) => string | undefined) {
  return z.string().superRefine((text, context) => {
    const problem = problemOf(text);
    if (problem !== undefined) context.addIssue(problem);
  });
}

/** Adds a fault at each `name` that an earlier item has as well. */
function uniqueNames(items: readonly { readonly name: string }[], context: z.RefinementCtx): void {
  const names = new Set<string>();
  for (const [index, { name }] of items.entries()) {
    if (names.has(name)) context.addIssue({ code: 'custom', path: [index, 'name'], message: 'is there twice' });
    names.add(name);
  }
}

const labels = listOf(z.object({ name: z.string(), value: text })).superRefine((list, context) => {
  for (const { index, member, problem } of labelFaults(list)) {
    context.addIssue({ code: 'custom', path: [index, member], message: problem });
  }
});

const annotation = z.object({ name: identifier, value: text }).superRefine(({ name, value }, context) => {
  const wrong = (message: string) => context.addIssue({ code: 'custom', path: ['value'], message });
  if (name === 'created' && !isRfc3339(value)) wrong('is not an RFC 3339 date');
  if ((name === 'homepage' || name === 'documentation') && !isHttpUrl(value)) wrong('is not an http or https URL');
});

const dependency = z.object({
  imageName: identifier,
  imageID: z
    .string()
    .regex(/^sha512-[0-9a-f]{1,128}$/, 'is not sha512- and hex digits')
    .nullish(),
  labels,
  size: count,
});

const eventHandler = z.object({ name: z.enum(['pre-start', 'post-stop']), exec: listOf(z.string().nullable()) });

const variable = z.object({
  name: z.string().regex(/^[A-Za-z_][A-Za-z_0-9.-]*$/, 'is no name for a variable'),
  value: text,
});

const mountPoint = z.object({ name: acName, path: required, readOnly: flag });

const port = z
  .object({
    name: acName.optional(),
    protocol: text,
    port: z.int().min(1, 'must be 1 to 65535').max(65_535, 'must be 1 to 65535'),
    count,
    socketActivated: flag,
  })
  .refine(({ port, count }) => port + (count || 1) <= 65_536, { path: ['count'], message: 'goes beyond port 65535' });

const isolator = z.object({ name: identifier, value: z.unknown() }).superRefine(({ name, value }, context) => {
  const result = isolatorValues.get(name)?.safeParse(value, { error: describeIssue });
  for (const { path, message } of result?.error?.issues ?? []) {
    context.addIssue({ code: 'custom', path: ['value', ...path], message });
  }
});

function seccompOnce(isolators: readonly { readonly name: string }[], context: z.RefinementCtx): void {
  const retain = isolators.findIndex(({ name }) => name === 'os/linux/seccomp-retain-set');
  const remove = isolators.findIndex(({ name }) => name === 'os/linux/seccomp-remove-set');
  if (retain === -1 || remove === -1) return;
  const path = [Math.max(retain, remove), 'name'];
  context.addIssue({ code: 'custom', path, message: 'cannot stand beside the other seccomp set' });
}

const app = z.object({
  exec: listOf(z.string().nullable()),
  eventHandlers: listOf(eventHandler).superRefine(uniqueNames),
  user: required,
  group: required,
  supplementaryGIDs: listOf(z.int().nullable()),
  workingDirectory: text.refine((path) => path === '' || path.startsWith('/'), 'must be an absolute path'),
  environment: listOf(variable).superRefine(uniqueNames),
  mountPoints: listOf(mountPoint),
  ports: listOf(port),
  isolators: listOf(isolator).superRefine(seccompOnce),
  userAnnotations: z.record(z.string(), z.string()).nullish(),
  userLabels: z.record(z.string(), z.string()).nullish(),
});

/**
 * An image manifest of appc 0.8.11, without the checks that only an executor needs: unknown isolators are accepted.
 * Keys must be in the case of the specification, and numbers that are not written as integers must have been replaced
 * by strings.
 *
 * @see appc 0.8.11, spec/aci.md, Image Manifest Schema; docs/rules.md A13
 */
export const manifestSchema = z.object({
  acKind: z.literal('ImageManifest'),
  acVersion: checkedText(semVerProblem),
  name: identifier,
  labels,
  app: app.nullish(),
  annotations: listOf(annotation).superRefine(uniqueNames),
  dependencies: listOf(dependency),
  pathWhitelist: listOf(text),
});

/** All keys of the schema, in the case of the specification. */
export const manifestKeys: readonly string[] = [
  manifestSchema,
  app,
  annotation,
  dependency,
  eventHandler,
  mountPoint,
  port,
]
  .flatMap((schema) => Object.keys(schema.shape))
  .concat('request', 'limit', 'default', 'set', 'errno', 'role', 'type', 'level');
