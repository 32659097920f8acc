import * as z from 'zod';

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
export const isolatorValues: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
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
