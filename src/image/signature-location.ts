/** Where the detached signature of an archive lies: `.aci.asc` for a trailing `.aci`, appended otherwise. */
export function signaturePath(path: string): string {
  return `${path.replace(/\.aci$/, '')}.aci.asc`;
}

/** As signaturePath, for the path of a URL; query and fragment stay. */
export function signatureUrl(url: string): string {
  const [path = '', rest = ''] = /^([^?#]*)(.*)$/s.exec(url)?.slice(1) ?? [];
  return `${signaturePath(path)}${rest}`;
}
