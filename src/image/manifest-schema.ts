import * as z from 'zod';

import { acIdentifierProblem, acNameProblem } from './ac-identifier.ts';
import { listOf, text } from './go-json.ts';
import { labelFaults } from './labels.ts';
import { describeIssue } from './shape.ts';

const quantity = z
  .union([z.string(), z.number().transform(String)])
  .refine((text) => /^[+-]?[0-9.]+(?:[eEinumkKMGTP]+[-+]?[0-9]*|[-+][0-9]*)?$/.test(text), 'is not a quantity');
const resource = z.object({
  request: quantity.nullish(),
  limit: quantity.nullish(),
  default: z
    .boolean()
    .nullish()
    .refine((value) => value !== true, 'must be false'),
});
const defaultResource = z.object({
  request: z.null('is not supported by this resource').optional(),
  limit: quantity.nullish(),
  default: z.literal(true, 'must be true'),
});

const set = z.array(z.string()).min(1, 'must be non-empty');
const seccomp = z.object({ set, errno: z.string().nullish() });
const context = z
  .string()
  .min(1, 'must be non-empty')
  .regex(/^[^:]*$/, 'may hold no colon');

/**
 * The values of the isolators that appc defines, by name. Other isolators may have any value. @see appc 0.8.11,
 * Isolators
 */
const isolatorValues: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  ['resource/cpu', resource],
  ['resource/memory', resource],
  ['resource/block-bandwidth', defaultResource],
  ['resource/block-iops', defaultResource],
  ['resource/network-bandwidth', defaultResource],
  ['os/linux/capabilities-retain-set', z.object({ set })],
  ['os/linux/capabilities-remove-set', z.object({ set })],
  ['os/linux/no-new-privileges', z.boolean()],
  ['os/linux/seccomp-retain-set', seccomp],
  ['os/linux/seccomp-remove-set', seccomp],
  ['os/linux/cpu-shares', z.int().min(2, 'must be 2 to 262144').max(262_144, 'must be 2 to 262144')],
  ['os/linux/oom-score-adj', z.int().min(-1000, 'must be -1000 to 1000').max(1000, 'must be -1000 to 1000')],
  [
    'os/linux/selinux-context',
    z.object({ user: context, role: context, type: context, level: z.string().min(1, 'must be non-empty') }),
  ],
  ['os/unix/sysctl', z.record(z.string(), z.string())],
]);

const semVer = /^(\d{1,15})\.(\d{1,15})\.(\d{1,15})(?:-([0-9A-Za-z.-]*))?(?:\+([0-9A-Za-z.-]*))?$/;

/**
 * Says why a text is not a version; undefined when it is one. Leading zeros and an empty pre-release or metadata are
 * accepted, as by the tools of appc.
 *
 * @see appc 0.8.11, schema/types/semver.go
 */
export function semVerProblem(text: string): string | undefined {
  const parts = semVer.exec(text);
  if (!parts) return 'is not a version: expected MAJOR.MINOR.PATCH, optionally with -PRERELEASE and +METADATA';
  const [, major, minor, patch, preRelease, metadata] = parts;
  const isZero = [major, minor, patch].every((number) => Number(number) === 0);
  return isZero && !preRelease && !metadata ? 'cannot be zero' : undefined;
}

const form = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|[+-](\d\d):(\d\d))$/;

/**
 * True for an RFC 3339 date with time and zone, upper-case T and Z, no leap second. @see appc 0.8.11,
 * schema/types/date.go
 */
export function isRfc3339(text: string): boolean {
  const parts = form.exec(text);
  if (!parts) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zoneHour = 0, zoneMinute = 0] = parts
    .slice(1)
    .map((part: string | undefined) => Number(part ?? 0));
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return false;
  return hour < 24 && minute < 60 && second < 60 && zoneHour < 24 && zoneMinute < 60;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/**
 * True for an absolute http or https URL without white space or control characters. @see appc 0.8.11,
 * schema/types/url.go
 */
export function isHttpUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text)) return false; // the URL parser would remove them
  const protocol = URL.parse(text)?.protocol;
  return protocol === 'http:' || protocol === 'https:';
}

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
