import type { ActionOptions } from '../../index.ts';
import type { Environment } from '../options/environment.ts';

/** The proxies of the environment; a lower-case name wins. */
export function proxyOf(environment: Environment): NonNullable<ActionOptions['proxy']> {
  const read = (name: string): string | undefined => environment[name] || environment[name.toUpperCase()] || undefined;
  const [http, https] = [read('http_proxy'), read('https_proxy')];
  const [all, noProxy] = [read('all_proxy'), read('no_proxy')];
  return { ...(http && { http }), ...(https && { https }), ...(all && { all }), ...(noProxy && { noProxy }) };
}
