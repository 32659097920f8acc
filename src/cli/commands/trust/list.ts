import { listTrustedKeys, show, type TrustedKeyRow } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import { directoriesOf, textOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { formatTable, toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { layerNames, openTrust } from './context.ts';

/** `trust list`: writes `longshore.keys/1`, or a table. */
export const runTrustList: Run = async (io, line) => {
  await using resources = new AsyncDisposableStack();
  const warn = (message: string): void => void io.stderr.write(`warning: ${message}\n`);
  const context = await openTrust(resources, directoriesOf(line, io.environment), warn);
  const rows = await listTrustedKeys(context, warn);
  const isJson = textOf(line, 'output') === 'json';
  await write(
    io.stdout,
    isJson ? `${toSafeJson({ schema: 'longshore.keys/1', keys: rows.map(named) })}\n` : table(rows),
  );
  return exitCodes.success;
};

function named({ layer, ...row }: TrustedKeyRow) {
  return { ...row, layer: layerNames[layer] };
}

const kindTexts = { openpgp: 'OpenPGP', 'public-key': 'public key', identity: 'identity' } as const;

function table(rows: readonly TrustedKeyRow[]): string {
  const title = ['FINGERPRINT', 'TRUSTED FOR', 'LAYER', 'EXPIRES', 'KIND', 'IDENTITY'];
  const lines = rows.map(({ fingerprint, kind, prefix, layer, expiresAt, revoked, identities, algorithm, masked }) => [
    fingerprint,
    show(prefix ?? '(every name)'),
    `${layerNames[layer]}${masked ? ' (masked)' : ''}`,
    revoked ? 'revoked' : (expiresAt?.slice(0, 10) ?? 'never'),
    kindTexts[kind],
    algorithm ?? identities.map((identity) => show(identity, 4096)).join(', '),
  ]);
  return formatTable([title, ...lines]);
}
