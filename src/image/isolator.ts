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

/** The values of the isolators that appc defines, by name; any other name may hold anything. @see appc 0.8.11, Isolators */
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
