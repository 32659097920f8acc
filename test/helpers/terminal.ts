import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';

import { bin } from './run-cli.ts';

const script = '/usr/bin/script';

/** Whether script(1), which makes terminals, is here. */
export const hasTerminal = existsSync(script);

export type Dialogue = { readonly code: number | null; readonly output: string };

/**
 * Runs longshore on a terminal and answers its questions in turn; each answer is typed once its question is there.
 *
 * @param args - without quotes in them.
 */
export async function onTerminal(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  answers: readonly string[],
): Promise<Dialogue> {
  const command = [process.execPath, bin, ...args].map((word) => `'${word}'`).join(' ');
  const child = execFile(script, ['-qec', command, '/dev/null'], { env: { ...process.env, ...environment } });
  child.stdin?.on('error', () => undefined); // it may end before an answer reaches it
  let output = '';
  let answered = 0;
  child.stdout?.on('data', (text: string) => {
    output += text;
    const asked = output.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, '').match(/\(yes\/no\)\? |or 'no': /g) ?? [];
    for (; answered < asked.length; answered += 1) child.stdin?.write(`${answers[answered] ?? 'no'}\n`);
  });
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { code, output };
}
