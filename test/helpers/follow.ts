import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';

import type { ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { ingestLimits, type Pool } from '../../src/pool/pool.ts';
import type { FromIngest } from '../../workers/ingest/requests.ts';
import { temporaryDirectory } from './stored.ts';

/** An ingest that follows an empty file until its thread ends; resolves once it has begun. */
export async function follow(t: ExecutionContext, pool: Pool) {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'growing');
  await writeFile(path, '');
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  const source = { kind: 'growing', path, bytes: 0, port: port2 } as const;
  const limits = ingestLimits(defaultLimits);
  const result = pool.run('ingest', { source, shown: path, image: join(directory, 'image'), limits }, [port2]);
  result.catch(() => undefined); // whoever ends it looks
  const [started] = (await once(port1, 'message')) as [FromIngest];
  if (started.kind !== 'started') throw new Error('a session says first where it runs');
  return { threadId: started.threadId, result };
}
