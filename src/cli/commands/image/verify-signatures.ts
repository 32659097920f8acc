import {
  asImageError,
  createVerifier,
  defaultLimits,
  type Entry,
  type Judgement,
  judgeStored,
  listImages,
  openKeystore,
  openPool,
  resolveEntries,
  show,
  type Store,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { checksOf } from '../../options/policy.ts';
import { directoriesOf, valueOf } from '../../options/read.ts';
import { formatTable, toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { entryTitle, idText } from './fields.ts';
import { oneOf } from './options.ts';
import type { Failure } from './subcommand.ts';

/** Images that are judged side by side. */
const width = 64;

type Judged = { readonly entry: Entry; readonly judgement: Judgement };

/** `image verify --signatures`: lists what the keys that are trusted now would refuse. No server is asked, and no blob is read. */
export async function verifySignatures(
  store: Store,
  line: CommandLine,
  { stdout, stderr, environment }: Io,
): Promise<readonly Failure[]> {
  const output = valueOf(line, 'output', oneOf(['text', 'json'])) ?? 'text';
  const warn = (message: string): void => void stderr.write(`warning: ${show(message, 4096)}\n`);
  const { system, local, user, trustedRoot } = directoriesOf(line, environment);
  await using keystore = await openKeystore({ dirs: [system, local, user], trustedRoot, onWarning: warn });
  await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
  const { policy, insecure, warnings } = await checksOf(line, await readConfig({ system, local, user }));
  warnings.forEach(warn);
  const { weakKeys = false } = insecure;
  const verifier = createVerifier({
    keystore,
    policy,
    pool,
    weakKeys,
    signatures: defaultLimits.signatures,
    nowMs: Date.now,
  });

  const failures: Failure[] = [];
  const listed: Judged[] = [];
  let checked = 0;
  const judge = async (entries: readonly Entry[]): Promise<void> => {
    const all = await Promise.all(
      entries.map(async (entry) => {
        const image = entry.kind === 'image' ? entry : { ...entry, digests: digestsOf(entry) };
        const proofs = await store.proofsOf(entry.kind === 'image' ? entry.id : entry.image.reference);
        return { entry, judgement: await judgeStored(verifier, image, proofs) };
      }),
    );
    checked += all.length;
    listed.push(...all.filter(({ judgement }) => judgement.kind !== 'good'));
  };
  let group: Entry[] = [];
  for await (const entry of entriesOf(store, line, failures)) {
    group.push(entry);
    if (group.length < width) continue;
    await judge(group);
    group = [];
  }
  await judge(group);

  await write(stdout, output === 'json' ? formatJson(checked, listed) : formatText(checked, listed));
  const refused = listed.flatMap(({ entry, judgement }) =>
    judgement.kind === 'refused'
      ? [{ asked: entryTitle(entry), request: { image: entry.source }, error: judgement.error }]
      : [],
  );
  return [...failures, ...refused];
}

async function* entriesOf(store: Store, line: CommandLine, failures: Failure[]): AsyncGenerator<Entry> {
  const asked = line.operands.map(({ text }) => text);
  if (asked.length === 0) yield* listImages(store);
  for (const text of asked) {
    try {
      yield* await resolveEntries(store, text);
    } catch (error) {
      failures.push({ asked: text, error: asImageError(error) });
    }
  }
}

function digestsOf({ image }: Extract<Entry, { kind: 'registry' }>): readonly string[] {
  return [image.manifest.digest, ...(image.index ? [image.index.digest] : [])];
}

/** Writes `longshore.signatures/1`. */
function formatJson(checked: number, listed: readonly Judged[]): string {
  const refused = listed.flatMap(({ entry, judgement }) =>
    judgement.kind === 'refused'
      ? [{ ...nameOf(entry), error: { code: judgement.error.code, message: judgement.error.message } }]
      : [],
  );
  const unproven = listed.filter(({ judgement }) => judgement.kind === 'unproven').map(({ entry }) => nameOf(entry));
  return `${toSafeJson({ schema: 'longshore.signatures/1', checked, refused, unproven })}\n`;
}

function nameOf(entry: Entry) {
  return { imageID: entry.id, name: entryTitle(entry) };
}

function formatText(checked: number, listed: readonly Judged[]): string {
  const rows = listed.map(({ entry, judgement }) => [
    idText(entry),
    show(entryTitle(entry), 1000),
    judgement.kind === 'refused' ? judgement.error.code : 'no proof is kept',
  ]);
  const refused = listed.filter(({ judgement }) => judgement.kind === 'refused').length;
  const unproven = listed.length - refused;
  const counts = [
    refused === 0 ? 'none would be refused' : `${refused} would be refused`,
    ...(unproven > 0 ? [`${unproven} without a proof, by signers that are trusted`] : []),
  ];
  return `${formatTable(rows)}judged ${checked} ${checked === 1 ? 'image' : 'images'}: ${counts.join('; ')}\n`;
}
