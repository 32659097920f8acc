import type { Bound, SettingResult } from './result.ts';

/** From these shares on, something is what the run waits for; below the last of them, it hardly is. */
const most = 0.8;
const half = 0.5;
const little = 0.3;

export type Surroundings = {
  /** That the run may use. */
  readonly processors: number;
  /** The share of the machine's processor time that was used meanwhile, by whatever it was: 0 to 1. */
  readonly machineBusy: number;
  /** Transfers that could run at once: no more than jobs, images, or what the hosts are given. */
  readonly places: number;
};

/**
 * What holds a run back, by what was measured of it: nothing but start-up, processors that are all busy, bytes that trickle
 * in, or answers that are long in coming. `unclear` where no share stands out.
 */
export function boundOf(setting: SettingResult, { processors, machineBusy, places }: Surroundings): Bound {
  const { seconds, batchSeconds, cpuSeconds, phases } = setting;
  const startSeconds = seconds.median - batchSeconds;
  if (batchSeconds < startSeconds) return 'start-up';
  // Start-up keeps one processor busy, which says nothing of the others.
  const busy = (cpuSeconds - startSeconds) / batchSeconds / processors;
  if (busy >= most || (machineBusy >= most && busy >= half)) return 'processor';
  if (machineBusy >= most) return 'unclear'; // somebody else's work
  const transferring = phases.download / (batchSeconds * places);
  if (transferring >= half) return 'network';
  const working = phases.verify + phases.commit;
  const waiting = busy < half && transferring <= little && working <= batchSeconds * places * little;
  return waiting ? 'latency' : 'unclear';
}
