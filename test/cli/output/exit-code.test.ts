import test from 'ava';

import { createBatchExitCode, exitCodeOf, sharedExitCode } from '../../../src/cli/output/exit-code.ts';
import { type ErrorCode, type ErrorData, fromErrorData, type ImageError, toErrorData } from '../../../src/errors.ts';
import type { Outcome, OutcomeStatus } from '../../../src/events.ts';

/** The table of the design, code by code. */
const table: Readonly<Record<number, readonly ErrorCode[]>> = {
  1: ['INTERNAL', 'CANCELLED'],
  2: ['USAGE', 'REFERENCE_INVALID', 'LIST_INVALID', 'CONFIG_INVALID'],
  4: ['NOT_IN_STORE', 'ID_AMBIGUOUS', 'ID_TOO_SHORT', 'FILE_NOT_FOUND', 'DISCOVERY_FAILED', 'PLATFORM_MISSING'],
  5: [
    ...(['ARCHIVE_UNREADABLE', 'ARCHIVE_INVALID', 'MANIFEST_INVALID', 'NAME_INVALID', 'NAME_MISMATCH'] as const),
    ...(['LABEL_INVALID', 'LABEL_MISMATCH', 'IMAGE_ID_MISMATCH', 'DIGEST_MISMATCH', 'SIZE_MISMATCH'] as const),
    ...(['SIGNATURE_MISSING', 'SIGNATURE_UNREADABLE', 'SIGNATURE_INVALID', 'SIGNATURE_EXPIRED'] as const),
    ...(['KEY_UNKNOWN', 'KEY_INVALID', 'KEY_EXPIRED', 'KEY_REVOKED', 'KEY_WEAK'] as const),
    ...(['LIMIT_EXCEEDED', 'REDIRECT_REFUSED', 'INSECURE_REFUSED', 'DEPENDENCY_CYCLE'] as const),
  ],
  6: ['AUTH_REQUIRED', 'AUTH_DENIED'],
  7: ['NETWORK', 'TIMEOUT', 'STALLED', 'TLS', 'RESPONSE_INVALID', 'LENGTH_MISMATCH', 'RATE_LIMITED'],
  8: [
    'STORE_CORRUPT',
    'STORE_BUSY',
    'STORE_FULL',
    'STORE_READ_ONLY',
    'STORE_VERSION',
    'FILE_UNREADABLE',
    'OUTPUT_FAILED',
  ],
  10: ['LOCK_MISMATCH'],
};

// Details are irrelevant to all codes but HTTP_STATUS.
const failure = (code: ErrorCode, cause?: ImageError): ImageError =>
  fromErrorData({
    code,
    message: 'm',
    details: { what: 'w' },
    ...(cause && { cause: toErrorData(cause) }),
  } as ErrorData);
const status = (number: number): ImageError =>
  fromErrorData({
    code: 'HTTP_STATUS',
    message: 'm',
    details: { url: 'u', status: number },
  });

for (const [exit, codes] of Object.entries(table)) {
  for (const code of codes) test(`${code} ends with ${exit}`, (t) => t.is(exitCodeOf(failure(code)), Number(exit)));
}

for (const [number, exit] of [
  [404, 4],
  [410, 4],
  [401, 6],
  [403, 6],
  [407, 6],
  [400, 7],
  [429, 7],
  [500, 7],
] as const) {
  test(`HTTP_STATUS ${number} ends with ${exit}`, (t) => t.is(exitCodeOf(status(number)), exit));
}

test('a failed dependency counts as its cause, however deep', (t) => {
  t.is(exitCodeOf(failure('DEPENDENCY_FAILED', failure('DEPENDENCY_FAILED', status(404)))), 4);
  t.is(exitCodeOf(failure('DEPENDENCY_FAILED')), 1);
});

test('failures of one kind share its code, others are mixed', (t) => {
  t.is(sharedExitCode([]), 0);
  t.is(sharedExitCode([5, 5]), 5);
  t.is(sharedExitCode([5, 7]), 3);
});

function batch(expected: number, outcomes: readonly (readonly [OutcomeStatus, ImageError?, number?])[]): number {
  const exitCode = createBatchExitCode();
  for (const [index, [state, error, at]] of outcomes.entries()) {
    const facts = { reference: 'r', index: at ?? index, status: state, imageID: 'sha512-00' };
    exitCode.add({ ...facts, ...(error && { error }) } as Outcome);
  }
  return exitCode.result(expected);
}

test('a batch with every image fetched or present is a success', (t) => {
  t.is(batch(2, [['fetched'], ['present']]), 0);
  t.is(batch(0, []), 0);
});

test('one kind of failure decides, however many images succeeded', (t) => {
  t.is(batch(4, [['fetched'], ['failed', status(404)], ['present'], ['failed', failure('NOT_IN_STORE')]]), 4);
});

test('cancelled images do not count if there is a failure', (t) => {
  t.is(
    batch(2, [
      ['failed', failure('TLS')],
      ['cancelled', failure('CANCELLED')],
    ]),
    7,
  );
});

test('a batch that was cancelled without a failure, or lacks an outcome, is a failure', (t) => {
  t.is(batch(2, [['fetched'], ['cancelled']]), 1);
  t.is(batch(2, [['fetched']]), 1);
});

test('a dependency counts only through the requests that need it', (t) => {
  const exitCode = createBatchExitCode();
  exitCode.add({ reference: 'dependency', status: 'failed', error: failure('TLS') });
  exitCode.add({ reference: 'request', index: 0, status: 'fetched', imageID: 'sha512-00' });
  t.is(exitCode.result(1), 0);
});
