/** Of all image names. */
export const prefix = 'example.com/bench';

export function nameOf(index: number): string {
  return `${prefix}/app-${String(index).padStart(5, '0')}`;
}

/** Of an image's archive, below the origin: as discovery asks for it when no version is. */
export function archiveOf(name: string): string {
  return `${name}-latest.aci`;
}
