import { batchKind } from '../../../fleet/batch.ts';
import { openDocument } from '../../../fleet/document.ts';
import { hasCode, ImageError } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import { usageError } from '../../options/option.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { createMessages } from '../../output/messages.ts';
import { openQueue, readKey } from './queue.ts';
import { parseBatchName } from './submit.ts';

/** `fleet cancel NAME`: has workers stop a batch. They believe the key that has signed it, and nobody else. */
export const runFleetCancel: Run = async (io, line) => {
  const [{ text } = { text: '' }] = line.operands;
  const name = parseBatchName(text, 'NAME');
  const key = await readKey(line, 'submit-key');
  if (!key) throw usageError('say by which key it is signed: the one that signed the batch', '--submit-key');
  const { stderr } = io;
  const messages = createMessages((message) => void stderr.write(`${message}\n`), stderr);
  key.warnings.forEach(messages.warn);
  await using resources = new AsyncDisposableStack();
  const { ledger } = await openQueue(resources, { io, line, isPatient: false, onWarning: messages.warn });
  const envelope = await ledger.envelope(name);
  if (envelope === undefined)
    throw new ImageError('BATCH_NOT_FOUND', `the queue has no batch ${name}`, { batch: name });
  const { value: batch } = await openDocument(batchKind, envelope, new Map([[key.keyId, key]])).catch(
    (error: unknown) => {
      if (!hasCode(error, 'BATCH_INVALID') || error.details.why !== 'signature') throw error;
      const message = `only the key that has signed the batch ${name} can cancel it: ${error.message}`;
      throw new ImageError('BATCH_INVALID', message, { ...error.details, batch: name }, { cause: error });
    },
  );
  await ledger.cancel(batch, key);
  stderr.write(`the batch ${name} is cancelled: what was brought stays\n`);
  return exitCodes.success;
};
