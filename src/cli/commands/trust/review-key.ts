import { createInterface } from 'node:readline/promises';

import { type ImageError, show } from '../../../internal.ts';
import type { Io } from '../../command.ts';
import { usageError } from '../../options/option.ts';

export type ReviewedKey = {
  readonly kind: 'openpgp' | 'public-key' | 'identity';
  readonly fingerprint: string;
  readonly subkeys: readonly string[];
  readonly identities: readonly string[];
  /** Of a public key. */
  readonly algorithm?: string;
  /** Why it cannot verify anything now. */
  readonly fault?: { readonly kind: string; readonly why: string };
};

/** Lines for the terminal that a person compares with information from the owner of the key. */
export function keyLines(key: ReviewedKey, location: string, place: string): readonly string[] {
  return [
    key.kind === 'identity' ? `identity for ${place}` : `key "${show(location, 1000)}" for ${place}`,
    `  fingerprint: ${key.kind === 'openpgp' ? grouped(key.fingerprint) : key.fingerprint}`,
    ...key.subkeys.map((fingerprint) => `  subkey fingerprint: ${grouped(fingerprint)}`),
    ...key.identities.map((identity) => `  ${show(identity, 4096)}`),
    ...(key.algorithm === undefined ? [] : [`  public key: ${key.algorithm}`]),
    ...(key.fault ? [`  warning: it verifies nothing: ${faultText(key.fault)}`] : []),
  ];
}

function faultText({ kind, why }: NonNullable<ReviewedKey['fault']>): string {
  return `${show(why)}${kind === 'weak' ? '; --insecure-options=weak-keys accepts it' : ''}`;
}

/**
 * Asks until the answer is yes or no.
 *
 * @throws USAGE without a terminal, and at the end of the input; the reason of the signal
 */
export async function askToTrust({ stdin, stderr, signal }: Io): Promise<boolean> {
  if (!stdin.isTTY || !stderr.isTTY) {
    throw usageError(
      'no terminal to review the fingerprint on: compare it and pass --fingerprint HEX, or --skip-fingerprint-review',
    );
  }
  if (stdin.readableEnded) throw unanswered();
  const terminal = createInterface({ input: stdin, output: stderr, terminal: false }); // Ctrl-C remains a signal
  const ended = new AbortController();
  terminal.once('close', () => ended.abort());
  const whenOver = AbortSignal.any([signal, ended.signal]);
  try {
    for (let question = 'Are you sure you want to trust this key (yes/no)? '; ;) {
      const answer = await terminal.question(question, { signal: whenOver });
      if (answer === 'yes' || answer === 'no') return answer === 'yes';
      question = "Please enter 'yes' or 'no': ";
    }
  } catch {
    signal.throwIfAborted();
    throw unanswered();
  } finally {
    terminal.close();
  }
}

function unanswered(): ImageError<'USAGE'> {
  return usageError('the input ended without an answer: nothing is trusted unreviewed');
}

/** Upper-case groups of four digits, as OpenPGP programs print them. */
function grouped(fingerprint: string): string {
  return show(fingerprint.toUpperCase().replace(/(.{4})(?=.)/g, '$1 '));
}
