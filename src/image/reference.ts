import type { Labels } from './labels.ts';

/** `prefix` is `sha512-` and 2 to 128 lower-case hex digits. */
export type IdReference = { readonly kind: 'id'; readonly text: string; readonly prefix: string };
/** `path` as typed, or the path of a file:// URL. Relative to `directory` of the parse call; already absolute here. */
export type FileReference = { readonly kind: 'file'; readonly text: string; readonly path: string };
/** `url` is exactly what will be requested: http or https. */
export type UrlReference = { readonly kind: 'url'; readonly text: string; readonly url: string };
/** No default labels: they are added when the reference is looked up. An empty version counts as absent. */
export type NameReference = {
  readonly kind: 'name';
  readonly text: string;
  readonly name: string;
  readonly labels: Labels;
};
/** `docker://[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, normalised: host and tag filled in, the digest decides. */
export type RegistryReference = {
  readonly kind: 'registry';
  readonly text: string;
  readonly host: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
};

/** A parsed request; `text` is the caller's own. A plain record, so it can cross a thread. */
export type ImageReference = IdReference | FileReference | UrlReference | NameReference | RegistryReference;
