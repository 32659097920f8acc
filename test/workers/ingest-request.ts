import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { type ErrorCode, hasCode } from '../../src/errors.ts';
import { defaultLimits } from '../../src/image/limits.ts';
import { ingest } from '../../workers/ingest/ingest.ts';
import type { ArchiveSource, IngestLimits, IngestRequest } from '../../workers/ingest/requests.ts';

const limits: IngestLimits = {
  archiveBytes: defaultLimits.archive,
  unpackedBytes: defaultLimits.unpacked,
  manifestBytes: defaultLimits.manifest,
  headerBytes: defaultLimits.header,
  entries: defaultLimits.entries,
  pathBytes: defaultLimits.path,
  dependencies: defaultLimits.dependencies,
  signatures: defaultLimits.signatures,
};

export async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-ingest-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

export async function requestFor(
  t: ExecutionContext,
  source: ArchiveSource,
  more: Partial<IngestLimits> = {},
): Promise<IngestRequest> {
  const image = join(await temporary(t), 'image');
  return { source, shown: 'https://example.com/app.aci', image, limits: { ...limits, ...more } };
}

export async function refuses(t: ExecutionContext, request: IngestRequest, code: ErrorCode): Promise<unknown> {
  const error = await t.throwsAsync(ingest(request));
  t.true(hasCode(error, code), `${code}: ${String(error)}`);
  t.false(existsSync(request.image), 'nothing is left');
  return hasCode(error, code) ? error.details : undefined;
}
