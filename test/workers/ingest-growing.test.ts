import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, threadId } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';

import { ingest } from '../../workers/ingest/ingest.ts';
import type { FromIngest, IngestRequest, ToIngest } from '../../workers/ingest/requests.ts';
import { type Aci, buildAci, type Compression } from '../helpers/archive.ts';
import { until } from '../helpers/until.ts';
import { refuses, requestFor, temporary } from './ingest-request.ts';

type Growing = {
  readonly aci: Aci;
  readonly path: string;
  readonly request: IngestRequest;
  readonly heard: FromIngest[];
  readonly tell: (message: ToIngest) => void;
};

async function growing(t: ExecutionContext, aci: Aci, bytes: number): Promise<Growing> {
  const path = join(await temporary(t), '1.part');
  await writeFile(path, aci.bytes.subarray(0, bytes));
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  const heard: FromIngest[] = [];
  port1.on('message', (message: FromIngest) => heard.push(message));
  const request = await requestFor(t, { kind: 'growing', path, bytes, port: port2 });
  return { aci, path, request, heard, tell: (message) => port1.postMessage(message) };
}

const dependencies = [{ imageName: 'example.com/base', labels: [{ name: 'version', value: '1' }], size: 512 }];
/** What is told of them. */
const told: FromIngest = {
  kind: 'dependencies',
  dependencies: [{ imageName: 'example.com/base', labels: new Map([['version', '1']]), size: 512 }],
};

for (const compression of ['none', 'gzip', 'bzip2', 'xz'] satisfies Compression[]) {
  test(`a growing file is followed to its end: ${compression}`, async (t) => {
    const aci = await buildAci({ name: 'example.com/app', size: 700_000, dependencies, compress: compression });
    const { path, request, heard, tell } = await growing(t, aci, 1000);
    const result = ingest(request);
    let there = 1000;
    for (const step of [1, 4096, 100_000, aci.bytes.length]) {
      const next = Math.min(aci.bytes.length, there + step);
      await appendFile(path, aci.bytes.subarray(there, next));
      tell({ kind: 'grown', bytes: next });
      await sleep(5);
      there = next;
    }
    tell({ kind: 'complete', bytes: aci.bytes.length });
    t.is((await result).imageId, aci.imageId);
    await until(() => heard.length === 2);
    t.deepEqual(heard, [{ kind: 'started', threadId }, told]);
  });
}

test('the dependencies of an image are reported while the rest of the file is still missing', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 700_000, dependencies, compress: 'gzip' });
  const { path, request, heard, tell } = await growing(t, aci, 300_000);
  const result = ingest(request);
  await until(() => heard.length === 2);
  t.deepEqual(heard[1], told);
  await appendFile(path, aci.bytes.subarray(300_000));
  tell({ kind: 'complete', bytes: aci.bytes.length });
  t.is((await result).imageId, aci.imageId);
});

test('a stop message ends a session at once, and nothing is left', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 700_000, dependencies, compress: 'gzip' });
  const { request, heard, tell } = await growing(t, aci, 300_000);
  const refused = refuses(t, request, 'CANCELLED');
  await until(() => heard.length === 2);
  tell({ kind: 'stop' });
  await refused;
});

test('a stop message ends a session in the middle of a bomb', async (t) => {
  const aci = await buildAci({
    name: 'example.com/app',
    files: { zeros: Buffer.alloc(80_000_000) }, // of less than 64 KiB packed nothing would be read before there is more
    dependencies,
    compress: 'gzip',
  });
  const { request, heard, tell } = await growing(t, aci, aci.bytes.length);
  const refused = refuses(t, request, 'CANCELLED');
  await until(() => heard.length === 2);
  tell({ kind: 'stop' });
  await refused;
});

test('a session ends when its port is closed', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 5000 });
  const path = join(await temporary(t), '1.part');
  await writeFile(path, aci.bytes.subarray(0, 2000));
  const { port1, port2 } = new MessageChannel();
  const refused = refuses(t, await requestFor(t, { kind: 'growing', path, bytes: 2000, port: port2 }), 'CANCELLED');
  port1.close();
  await refused;
});

test('a file that is shorter than announced is unreadable', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 5000 });
  const { request, tell } = await growing(t, aci, 2000);
  tell({ kind: 'complete', bytes: 3000 });
  await refuses(t, request, 'FILE_UNREADABLE');
});
