import { ingestSteps } from '../../bench/ingest-sums.ts';
import { phaseNames } from '../../bench/phases.ts';
import type { SettingResult } from '../../bench/result.ts';
import { show } from '../../index.ts';
import { formatTable } from '../image/table.ts';

/** Where the time of one setting went: phases of the images, steps of the workers, images at a time, threads. */
export function benchDetails(setting: SettingResult): string {
  const { phases, ingest, depths, threads = {} } = setting;
  const bytes = setting.bytesPerSecond * setting.seconds.median;
  const table = (title: string, seconds: readonly (readonly [string, number])[]): string => {
    const sum = seconds.reduce((total, [, one]) => total + one, 0);
    const rows = seconds.map(([name, one]) => [
      name,
      one.toFixed(2),
      sum > 0 ? `${Math.round((one / sum) * 100)} %` : '-',
      one > 0 ? (bytes / 1024 ** 2 / one).toFixed(1) : '-',
    ]);
    return formatTable([[title, 'SECONDS', 'SHARE', 'MIB/S'], ...rows], new Set([1, 2, 3]));
  };
  const parts = [
    `Where the time went with --jobs ${setting.jobs} --workers ${setting.workers}, of all images together:\n\n`,
    table(
      'PHASE',
      phaseNames.map((name) => [name, phases[name] ?? 0]),
    ),
  ];
  const steps = ingest ? ingestSteps.map((name) => [name, ingest[name] ?? 0] as const) : [];
  if (steps.some(([, seconds]) => seconds > 0)) parts.push('\n', table('INGEST', steps)); // registries' images have none
  if (depths) {
    const stages = Object.entries(depths).map(([name, { mean, most }]) => `${name} ${mean.toFixed(1)} (most ${most})`);
    parts.push(`\nImages at a time: ${stages.join(', ')}\n`);
  }
  const taken = Object.entries(threads).map(([name, seconds]) => `${show(name)} ${seconds.toFixed(2)}`);
  if (taken.length > 0) parts.push(`Processor seconds: ${taken.join(', ')}\n`);
  return parts.join('');
}
