import * as z from 'zod';

import { isAbsolutePath } from '../../system/files.ts';

const text = (missing: string) => z.string(missing).min(1, missing);
const hosts = (missing: string) =>
  z.array(text(missing), { error: (issue) => (issue.input === undefined ? missing : undefined) }).min(1, missing);
const path = (what: string) => z.string().refine(isAbsolutePath, `${what} must be an absolute path`).optional();

/** A token is copied into a header unchanged. */
const token = text('no oauth bearer token specified').regex(/^[\x21-\x7e]+$/, 'an oauth bearer token is visible ASCII');

const credentials = z.object({ user: text('user not specified'), password: text('password not specified') });

const basic = z.object({ domains: hosts('no domains specified'), type: z.literal('basic'), credentials });
const oauth = z.object({
  domains: hosts('no domains specified'),
  type: z.literal('oauth'),
  credentials: z.object({ token }),
});

const auth = z.discriminatedUnion('type', [basic, oauth], {
  error: ({ input }) => {
    const type: unknown = typeof input === 'object' && input !== null && 'type' in input ? input.type : undefined;
    return type === undefined || type === '' ? 'no auth type specified' : 'unknown auth type';
  },
});
const dockerAuth = z.object({ registries: hosts('no registries specified'), credentials });
const paths = z.object({ data: path('data directory'), 'stage1-images': path('stage1 images directory') });
const policy = z.object({ file: text('no file specified').refine(isAbsolutePath, 'file must be an absolute path') });
const discovery = z.object({ prefix: text('no prefix specified'), origin: text('no origin specified') });

/** The members that every file has. */
export const heading = z.object({ rktKind: text('no rktKind specified'), rktVersion: text('no rktVersion specified') });

/** The kinds of version v1, each with the directory of its files. Unknown fields are ignored. */
export const kinds = {
  auth: { directory: 'auth.d', shape: auth },
  dockerAuth: { directory: 'auth.d', shape: dockerAuth },
  paths: { directory: 'paths.d', shape: paths },
  discovery: { directory: 'discovery.d', shape: discovery },
  policy: { directory: 'policy.d', shape: policy },
} as const;

export type Auth = z.infer<typeof auth>;
export type Credentials = z.infer<typeof credentials>;
