/** Of all image names. */
export const prefix = 'example.com/bench';

export function nameOf(index: number): string {
  return `${prefix}/app-${String(index).padStart(5, '0')}`;
}
