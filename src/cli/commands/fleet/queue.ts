import { type Ledger, openLedger } from '../../../fleet/ledger.ts';
import { connectQueue, parseQueueAddress, parseQueueLogin, type QueueConnection } from '../../../fleet/redis.ts';
import { type AcceptedKeys, loadSigning, readConfigFile, type SigningKey } from '../../../internal.ts';
import type { Io } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { valueOf } from '../../options/read.ts';
import { readCaFile } from '../fetch/network.ts';

type QueueRequest = {
  readonly io: Pick<Io, 'signal'>;
  readonly line: CommandLine;
  /** Whether it is waited for however long it is away, once it was there. */
  readonly isPatient: boolean;
  /** How long it is waited for at the beginning. */
  readonly waitMs?: number;
  readonly onWarning: (message: string) => void;
};

export type Queue = { readonly connection: QueueConnection; readonly ledger: Ledger };

/** Connects to the Redis of `--queue`; `resources` closes it. @throws USAGE, QUEUE_UNAVAILABLE */
export async function openQueue(
  resources: AsyncDisposableStack,
  { io, line, isPatient, waitMs = 0, onWarning }: QueueRequest,
): Promise<Queue> {
  const named = line.values('queue').at(-1);
  if (!named) throw usageError('say where the fleet meets: redis://HOST[:PORT]', '--queue');
  const isSeen = named.option === '--queue';
  const address = parseQueueAddress(named.text, named.option, !isSeen);
  const login = await valueOf(line, 'queue-auth', readLogin);
  const ca = await valueOf(line, 'queue-ca', readCaFile);
  const connection = resources.use(
    await connectQueue(
      { ...address, ...(login && { login }) },
      { isPatient, waitMs, onWarning, signal: io.signal, ca: ca?.join('\n') },
    ),
  );
  return { connection, ledger: resources.use(openLedger(connection, Date.now)) };
}

/** The first line of the file of `--queue-auth`. @throws CONFIG_INVALID, USAGE */
async function readLogin(path: string, option: string): Promise<ReturnType<typeof parseQueueLogin>> {
  return parseQueueLogin((await readConfigFile(path, { isNamed: true })).toString('utf8'), option);
}

/** The private key of an option. @throws USAGE */
export async function readKey(line: CommandLine, name: 'submit-key' | 'worker-key'): Promise<SigningKey | undefined> {
  const { readSigningKey } = await loadSigning();
  return valueOf(line, name, readSigningKey);
}

/** All public keys of an option that may be repeated; undefined if there are none. @throws USAGE */
export async function readAccepted(
  line: CommandLine,
  name: 'accept' | 'accept-worker',
): Promise<AcceptedKeys | undefined> {
  const { readAcceptedKeys } = await loadSigning();
  const files = await Promise.all(line.values(name).map(({ text, option }) => readAcceptedKeys(text, option)));
  return files.length === 0 ? undefined : new Map(files.flatMap((keys) => [...keys]));
}
