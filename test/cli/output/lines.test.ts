import { PassThrough } from 'node:stream';

import test from 'ava';

import { causeLines, errorLine } from '../../../src/cli/output/error-line.ts';
import { drawFrame, trackBatch } from '../../../src/cli/output/live-progress.ts';
import {
  createEventStream,
  createPlainProgress,
  openProgress,
  progressMode,
} from '../../../src/cli/output/progress.ts';
import { formatDuration, summaryLine } from '../../../src/cli/output/state-line.ts';
import { asImageError, type ErrorCode, type ErrorDetails, ImageError } from '../../../src/errors.ts';
import type { BatchEvent, Outcome, Totals } from '../../../src/events.ts';

const totals: Totals = {
  ...{ images: 2, nodes: 3, fetched: 1, present: 1, failed: 1, blocked: 0, cancelled: 0 },
  ...{ bytesDownloaded: 2_097_152, bytesStored: 1, requests: 1, retries: 0, durationMs: 2000 },
};
const notFound = new ImageError('HTTP_STATUS', 'the server says 404', { url: 'https://x/', status: 404 });
const failed: Outcome = { reference: 'example.com/a', index: 0, status: 'failed', error: notFound };

test('an error line has the request, the code, the message and the advice, on one line', (t) => {
  t.is(errorLine(notFound, 'https://x'), 'error: https://x/: HTTP_STATUS: the server says 404. Check the address.');
  const hostile = new ImageError('HTTP_STATUS', 'a\nb\u001b[31m\u202e', notFound.details);
  t.is(
    errorLine(hostile, 'x\u0007'),
    'error: x\\x07: HTTP_STATUS: a\\x0ab\\x1b[31m\\u202e. Check the address: https://x/.',
  );
});

test('an error line contains no credentials and no query, and a complete registry digest', (t) => {
  t.regex(errorLine(notFound, 'https://user:secret@host/a.aci?token=t'), /^error: https:\/\/host\/a\.aci: HTTP/);
  t.true(errorLine(notFound, `docker://busybox@sha256:${'0'.repeat(64)}`).includes('docker://busybox@sha256:0'));
});

function advised<C extends ErrorCode>(code: C, details: ErrorDetails[C], reference = 'https://h/a'): string {
  return errorLine(asImageError(new ImageError(code, 'it failed', details)), reference);
}

test('an address that was not asked for, but found by discovery or a redirect, is in the line', (t) => {
  const line = (reference: string) =>
    advised('HTTP_STATUS', { url: 'https://h/aci/app-1.aci', status: 404 }, reference);
  t.regex(line('example.com/app:1'), / Check the address: https:\/\/h\/aci\/app-1\.aci\.$/);
  t.regex(line('https://elsewhere/app.aci'), / Check the address: https:\/\/h\/aci\/app-1\.aci\.$/);
  t.regex(line('https://h/aci/app-1.aci?token=t'), / Check the address\.$/);
});

test('advice depends on the HTTP status, and on what can help there', (t) => {
  const line = (status: number, reference?: string, url = 'https://h/a') =>
    advised('HTTP_STATUS', { url, status }, reference);
  t.regex(line(401), /credentials for this host/);
  t.notRegex(line(401, undefined, 'http://h/a'), /auth\.d/); // they are sent over https only
  t.regex(line(401, undefined, 'http://h/a'), /over https/);
  t.regex(line(503), /again later/);
  t.notRegex(line(511), /later/);
  t.regex(line(511), /Log in to the network/);
  for (const status of [204, 206, 304, 501, 505]) t.regex(line(status), /Tell the operator of the server\.$/);
  for (const status of [408, 425, 429]) t.regex(line(status), /later/);
  t.regex(line(407), /address of the proxy/);
});

test('advice for a failure of a proxy is about the proxy', (t) => {
  const proxy = 'http://proxy.lan:3128';
  const url = 'https://h/a';
  t.regex(advised('NETWORK', { url, proxy, reason: 'ENOTFOUND' }), /Check the proxy that http_proxy/);
  t.regex(advised('TIMEOUT', { url, proxy, waitedMs: 1 }), /Check the proxy that http_proxy/);
  t.regex(advised('HTTP_STATUS', { url: proxy, proxy, status: 407 }), /address of the proxy, in http_proxy/);
  t.regex(advised('AUTH_DENIED', { host: proxy, proxy }), /address of the proxy, in http_proxy/);
  t.regex(advised('TLS', { url, proxy }), /--ca-file/);
});

test('advice contains only what can help in the situation', (t) => {
  const signer = { signers: ['ab'], searched: ['root'], name: 'docker.io/library/a' };
  t.notRegex(advised('KEY_UNKNOWN', signer, 'docker://a'), /discovery/);
  t.regex(advised('KEY_UNKNOWN', signer, 'docker://a'), /longshore trust --prefix docker\.io\/library\/a KEYFILE\.$/);
  t.regex(advised('KEY_UNKNOWN', { ...signer, name: 'example.com/a' }), /for the keys that discovery offers/);
  t.notRegex(advised('SIGNATURE_MISSING', { location: 'x' }, 'docker://a'), /--signature/);
  t.regex(advised('SIGNATURE_MISSING', { location: 'x' }), /name it with --signature/);
  t.regex(advised('ARCHIVE_INVALID', { rule: 'A7' }), /Bring it again, .* made again, following A7 in docs/);
  t.notRegex(advised('ARCHIVE_INVALID', { rule: 'A11' }), /Bring it again/);
  t.regex(advised('KEY_WEAK', { algorithm: 'sha1' }), /=weak-keys/);
  t.notRegex(advised('KEY_WEAK', { algorithm: 'md5' }), /weak-keys/);
  t.notRegex(advised('INSECURE_REFUSED', { what: 'denyNet' }), /insecure-options/);
  t.notRegex(advised('INSECURE_REFUSED', { what: 'registry.example' }), /insecure-options/);
  t.regex(advised('INSECURE_REFUSED', { what: 'a key over http' }), /--insecure-options=http\.$/);
  t.regex(advised('REDIRECT_REFUSED', { from: 'https://h/a', to: 'http://h/a' }), /Ask for the address/);
  t.notRegex(advised('REDIRECT_REFUSED', { from: 'https://h/a', to: 'ftp://h/a' }), /Ask for/);
  t.notRegex(advised('REDIRECT_REFUSED', { from: 'https://h/a', to: 'https://h/a' }), /Ask for/);
  t.regex(advised('NOT_IN_STORE', { asked: 'ab', of: 'keystore' }, 'ab'), /longshore trust list\.$/);
  t.notRegex(advised('NOT_IN_STORE', { asked: 'sha512-ab' }, 'sha512-ab'), /--store-only/);
  t.regex(advised('LOCK_MISMATCH', { reference: 'a', why: 'missing' }), /without --frozen/);
  t.regex(advised('LOCK_MISMATCH', { reference: 'a' }), /take its entry out/);
  t.regex(advised('ARCHIVE_UNREADABLE', { path: 'x' }), /damaged/);
  t.regex(advised('ARCHIVE_INVALID', { rule: 'A7' }), /A7 in docs\/rules\.md/);
});

test('where an image is only not convertible, the advice is to keep it as it is', (t) => {
  for (const code of ['ARCHIVE_INVALID', 'MANIFEST_INVALID', 'NAME_INVALID'] as const) {
    const details = { rule: 'R8', name: 'a', keep: 'oci' } as const;
    t.regex(advised(code, details, 'docker://a'), /Fetch it with --keep=oci/);
  }
});

test('for a file of credentials that cannot be read, the advice is to correct that file', (t) => {
  const cause = new ImageError('CONFIG_INVALID', 'a key twice', { path: 'config.json' });
  const error = new ImageError('AUTH_REQUIRED', 'cannot be had', { host: 'a' }, { cause });
  t.regex(errorLine(error), /Correct the file with the credentials, or remove it\.$/);
});

test('credentials are not advised where they are never sent', (t) => {
  const line = (more: object) =>
    errorLine(new ImageError('HTTP_STATUS', 'refused', { url: 'https://b/', status: 403, ...more }));
  t.regex(line({}), /credentials/);
  t.regex(line({ redirectedFrom: 'a', takesNoCredentials: true }), /Run again: a may redirect elsewhere then/);
  t.notRegex(line({ redirectedFrom: 'a', takesNoCredentials: true }), /redentials/);
  t.regex(line({ url: 'http://b/', takesNoCredentials: true }), /over https: credentials are not sent over http\.$/);
});

test('advice on a limit names the one that can be raised, if it can', (t) => {
  const line = (limit: string) => errorLine(new ImageError('LIMIT_EXCEEDED', 'too much', { limit, maximum: 1 }));
  t.regex(line('indexDepth'), /raise it with --limit index-depth=VALUE\.$/);
  t.notRegex(line('paths'), /--limit/);
  const either = new ImageError('LIMIT_EXCEEDED', 'too much', { limit: 'path', maximum: 1, keep: 'oci' });
  t.regex(errorLine(either), /raise it with --limit path=VALUE, or fetch it with --keep=oci\.$/);
});

test('where something exists already, the advice is how to replace it', (t) => {
  t.regex(advised('USAGE', { option: 'overwrite' }), /replace what is there with --overwrite\.$/);
  t.regex(advised('USAGE', { option: 'jobs' }), /See --help\.$/);
  const digests = { asked: `sha256:${'1'.repeat(64)}`, found: `sha256:${'2'.repeat(64)}` };
  t.regex(advised('TAG_EXISTS', { target: 'r.example/app:1', ...digests }), /leave --no-overwrite out\.$/);
  const list = { target: `r.example/app:sha256-${'3'.repeat(64)}`, asked: 'application/vnd.oci.image.index.v1+json' };
  t.regex(advised('TAG_EXISTS', { ...digests, ...list }), /place, or remove that tag there\.$/);
});

test('the advice for a recognised but unsupported format says how to convert it', (t) => {
  const line = (looksLike: string, path = 'https://b/x.aci') =>
    errorLine(new ImageError('ARCHIVE_UNREADABLE', 'not read', { path, looksLike }));
  t.regex(line('an old tar (v7)'), /tar --format=ustar\.$/);
  t.regex(line('a tar with a volume label'), /without --label\.$/);
  t.regex(line('xz with a sha256 check'), /xz --check=crc64\.$/);
  t.regex(line('xz with the x86 filter'), /no filter but --lzma2\.$/);
  t.regex(line('lzma'), /gzip, bzip2 or xz\.$/);
  t.regex(line('an archive of docker save'), /longshore image import FILE\.$/);
  t.regex(line('HTML'), /address leads to an image\.$/);
  t.regex(line('HTML', '/srv/x.aci'), /this is the file of an image\.$/);
  t.regex(advised('ARCHIVE_UNREADABLE', { path: 'https://b/x.aci' }), /fetch it again, or tell its publisher\.$/);
  t.regex(advised('ARCHIVE_UNREADABLE', { path: '/srv/x.tar' }), /bring it again, or tell who made it\.$/);
});

test('the causes of an error are listed one a line, as far as there are any', (t) => {
  const cause = new Error('outer', { cause: new ImageError('TLS', 'inner\u0000', { url: 'u' }, { cause: 'text' }) });
  t.deepEqual(causeLines(new Error('top', { cause })), ['  └─ outer', '    └─ TLS: inner\\x00', '      └─ text']);
});

test('events are numbered, dated, and one JSON object a line', (t) => {
  const lines: string[] = [];
  const emit = createEventStream(
    (line) => lines.push(line),
    () => 0,
  );
  emit({ type: 'batch-started', requests: 1, jobs: 16, jobsPerHost: 16 });
  emit({ type: 'warning', message: 'a\nb\u0085' });
  t.is(
    lines[0],
    '{"schema":"longshore.event/1","seq":1,"time":"1970-01-01T00:00:00.000Z","type":"batch-started","requests":1,"jobs":16,"jobsPerHost":16}\n',
  );
  t.is(lines[1]?.split('\n').length, 2);
  t.notRegex(lines[1] ?? '', /\u0085/);
  t.like(JSON.parse(lines[1] ?? ''), { seq: 2, type: 'warning', message: 'a\nb\u0085' });
});

/** What plain progress writes. */
function plain(states: boolean, use: (progress: ReturnType<typeof createPlainProgress>) => void): string[] {
  const stderr = new PassThrough({ encoding: 'utf8' });
  const progress = createPlainProgress(stderr, { states });
  use(progress);
  progress.end(totals);
  return String(stderr.read() ?? '')
    .split('\n')
    .slice(0, -1);
}

const story: readonly BatchEvent[] = [
  { type: 'node-added', key: 'k', reference: 'example.com/a' },
  { type: 'node-started', key: 'k', reference: 'example.com/a' },
  { type: 'download-started', key: 'k', url: 'https://h/a.aci?q', total: 2048, resumedFrom: 0 },
  { type: 'download-progress', key: 'k', bytes: 1024, total: 2048 },
  { type: 'retry', key: 'k', url: 'https://h/a.aci', attempt: 1, delayMs: 500, code: 'NETWORK' },
  { type: 'retry', key: 'k', url: 'https://h/a.aci', attempt: 2, delayMs: 500, code: 'HTTP_STATUS', status: 429 },
  { type: 'download-started', key: 'k', url: 'https://h/a.aci', total: 2048, resumedFrom: 1024 },
  {
    type: 'node-finished',
    key: 'k',
    outcome: {
      reference: 'example.com/a',
      status: 'fetched',
      imageID: 'sha512-ab',
      bytesDownloaded: 2048,
      durationMs: 1500,
    },
  },
];

test('plain progress has one line for each change of state', (t) => {
  t.deepEqual(
    plain(true, ({ onEvent }) => story.forEach(onEvent)),
    [
      'downloading example.com/a: 2 KiB from https://h/a.aci',
      'retrying example.com/a in 0.5 s: NETWORK from https://h/a.aci',
      'retrying example.com/a in 0.5 s: 429 from https://h/a.aci',
      'resuming example.com/a at 1 KiB of 2 KiB from https://h/a.aci',
      'fetched example.com/a: sha512-ab 2 KiB in 1.5 s',
      '2 images and 1 dependency: 1 fetched, 1 present, 1 failed; 2 MiB in 2.0 s, 1 MiB/s',
    ],
  );
});

test('after an interruption a line says that the command goes on, unless nothing is left to do', async (t) => {
  const ended = async (cancelled: number): Promise<string> => {
    const stderr = new PassThrough({ encoding: 'utf8' });
    // Plain progress asks a stream for no more than this.
    const progress = await openProgress('plain', stderr as unknown as NodeJS.WriteStream, () => 0);
    progress.end({ ...totals, cancelled }, true);
    return String(stderr.read());
  };
  t.regex(await ended(1), /\ninterrupted; the store keeps 2 images: the same command goes on from there\n$/);
  t.notRegex(await ended(0), /interrupted/);
});

test('that the disk is full is one line, with the advice of what was run', (t) => {
  const full = (needed: number, free: number) =>
    new ImageError('STORE_FULL', 'no room', { path: '/store', needed, free });
  const fail = ({ onOutcome }: ReturnType<typeof createPlainProgress>, hint?: string): void => {
    for (const [reference, error] of Object.entries({ a: full(2048, 1024), b: full(4096, 1024) }))
      onOutcome({ reference, status: 'failed', error, bytesDownloaded: 0, durationMs: 1 }, undefined, hint);
  };
  const [line, ...others] = plain(false, (progress) => fail(progress));
  t.deepEqual(others, []);
  t.regex(
    line ?? '',
    /^error: STORE_FULL: the disk of \/store is full: 0 images are there, 2 are missing; at least 4 KiB/,
  );
  t.regex(line ?? '', /longshore image gc, and run again\.$/);
  t.regex(plain(false, (progress) => fail(progress, '; or so'))[0] ?? '', /and run again; or so\.$/);
});

test('plain progress shortens image IDs, and no digest', (t) => {
  const finished = (imageID: string): BatchEvent => {
    return { type: 'node-finished', key: 'k', outcome: { reference: 'r', status: 'present', imageID } };
  };
  const digest = `sha256:${'e'.repeat(64)}`;
  t.deepEqual(
    plain(true, ({ onEvent }) => [`sha512-${'a'.repeat(128)}`, digest].map(finished).forEach(onEvent)).slice(0, 2),
    [`present r: sha512-${'a'.repeat(32)}`, `present r: ${digest}`],
  );
});

test('without progress there are still warnings and errors, each once', (t) => {
  const lines = plain(false, ({ onEvent, onOutcome }) => {
    story.forEach(onEvent);
    onEvent({ type: 'warning', message: 'careful' });
    onEvent({ type: 'warning', message: 'careful' });
    onOutcome(failed);
    onOutcome({ ...failed, index: 1 });
    onOutcome({
      reference: 'example.com/b',
      status: 'cancelled',
      error: new ImageError('CANCELLED', 'stopped', { reason: 'x' }),
    });
  });
  t.deepEqual(lines, ['warning: careful', errorLine(notFound, 'example.com/a')]);
});

test('progress is drawn only on a terminal that supports it', (t) => {
  t.is(progressMode(undefined, true, {}), 'tty');
  t.is(progressMode('auto', true, { CI: 'false' }), 'tty');
  t.is(progressMode('auto', false, {}), 'plain');
  t.is(progressMode('auto', true, { CI: 'true' }), 'plain');
  t.is(progressMode('auto', true, { TERM: 'dumb' }), 'plain');
  t.is(progressMode('tty', false, { CI: '1' }), 'tty');
  t.is(progressMode('none', true, {}), 'none');
});

test('a frame has a row for each transfer and a total with rate and time left, cut to the width of the terminal', (t) => {
  let nowMs = 0;
  const batch = trackBatch(() => nowMs);
  for (const key of ['a', 'b']) batch.take({ type: 'node-added', key, reference: key });
  batch.take({ type: 'node-started', key: 'a', reference: 'example.com/\u001b[2J' });
  batch.take({ type: 'download-started', key: 'a', url: 'u', total: 4096, resumedFrom: 1024 });
  nowMs = 1000;
  batch.state();
  batch.take({ type: 'download-progress', key: 'a', bytes: 2048, total: 4096 });
  batch.take({ type: 'node-finished', key: 'b', outcome: { reference: 'b', status: 'present', imageID: 'sha512-00' } });
  nowMs = 3000;
  const frame = drawFrame(batch.state(), { columns: 100, rows: 24 });
  const [row = '', total = '', ...rest] = frame.split('\n');
  t.regex(row, /^ {2}example\.com\/\\x1b\[2J +\[={10} {10}\] +50% of 4 KiB$/);
  t.is(total, '1/2 images · 1 present · 1 KiB · 341 B/s · 1.0 s left');
  t.deepEqual(rest, []);
  const narrow = drawFrame(batch.state(), { columns: 20, rows: 1 });
  t.true(narrow.split('\n').every((line) => line.length < 20));
});

test('a complete archive counts as done until its outcome, and as a part if it is downloaded again', (t) => {
  let nowMs = 0;
  const batch = trackBatch(() => nowMs);
  const key = 'a';
  for (const other of ['a', 'b']) batch.take({ type: 'node-added', key: other, reference: other });
  batch.take({ type: 'node-started', key, reference: 'a' });
  batch.take({ type: 'download-started', key, url: 'u', total: 4, resumedFrom: 0 });
  nowMs = 3000;
  const left = () => drawFrame(batch.state(), { columns: 80, rows: 24 }).split('\n').at(-1);
  batch.take({ type: 'download-finished', key, url: 'u', bytes: 4 });
  t.is(left(), '0/2 images · 3.0 s left');
  batch.take({ type: 'download-started', key, url: 'u', total: 4, resumedFrom: 1 });
  t.is(left(), '0/2 images · 21 s left');
  batch.take({ type: 'download-finished', key, url: 'u', bytes: 4 });
  batch.take({ type: 'node-finished', key, outcome: { reference: 'a', status: 'fetched', imageID: 'sha512-00' } });
  t.is(left(), '1/2 images · 1 fetched · 3.0 s left');
});

test('an archive that is read has a row until its images are known', (t) => {
  const batch = trackBatch(() => 0);
  const frame = () => drawFrame(batch.state(), { columns: 80, rows: 24 });
  batch.take({ type: 'archive-read', path: '/srv/images.tar', bytes: 512, total: 2048 });
  t.regex(frame(), /\/srv\/images\.tar .* 25 ?%/);
  batch.take({ type: 'batch-started', requests: 1, jobs: 4, jobsPerHost: 4 });
  t.notRegex(frame(), /images\.tar/);
});

test('more transfers than rows are counted', (t) => {
  const batch = trackBatch(() => 1);
  for (let number = 0; number < 20; number += 1) {
    const key = String(number);
    batch.take({ type: 'node-started', key, reference: key });
    batch.take({ type: 'download-started', key, url: 'u', resumedFrom: 0 });
  }
  const lines = drawFrame(batch.state(), { columns: 80, rows: 8 }).split('\n');
  t.is(lines.length, 7);
  t.is(lines[5], '  and 15 more');
});

test('an empty run has a summary', (t) => {
  const nothing = {
    ...totals,
    images: 0,
    nodes: 0,
    fetched: 0,
    present: 0,
    failed: 0,
    bytesDownloaded: 0,
    durationMs: 0,
  };
  t.is(summaryLine(nothing), '0 images: nothing to do; in 0.0 s');
});

test('durations are given in the usual units', (t) => {
  t.deepEqual([0, 940, 12_000, 200_000, 7_500_000].map(formatDuration), [
    '0.0 s',
    '0.9 s',
    '12 s',
    '3 min 20 s',
    '2 h 5 min',
  ]);
});
