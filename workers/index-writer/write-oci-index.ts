import { renameSync } from 'node:fs';

import { hasCode } from '../../src/errors.ts';
import type { OciFace } from './oci-face.ts';
import type { Layout } from './protocol.ts';

/**
 * Writes index.json now.
 *
 * @param setAsideDamagedAtMs - when given, one that cannot be read gets another name, with this time in it: what other
 * tools had named there is not kept any more, but can still be looked up.
 * @throws STORE_CORRUPT when it cannot be read and stays, STORE_BUSY.
 */
export function writeOciIndex({ ociIndex }: Layout, face: OciFace, setAsideDamagedAtMs: number | undefined): void {
  try {
    face.write();
  } catch (error) {
    if (setAsideDamagedAtMs === undefined || !hasCode(error, 'STORE_CORRUPT')) throw error;
    renameSync(ociIndex, `${ociIndex}.damaged-${setAsideDamagedAtMs}`);
    face.write();
  }
}
