import type { Labels } from '../image/labels.ts';
import type { Dependency } from '../image/manifest.ts';
import type { FoundImage } from './found.ts';

/** What a fetch would do about one image. */
export type Planned =
  | { readonly status: 'present'; readonly image: FoundImage }
  | {
      readonly status: 'absent';
      /** The exact URL it would come from; absent for a file. */
      readonly url?: string;
      /** The same without credentials and query, or a path. */
      readonly source: string;
      /** Of what would come, where it is known beforehand. */
      readonly digest?: string;
      /** What the network still has to bring; undefined when the server does not say. */
      readonly bytesToFetch: number | undefined;
      /** Its parts by digest, which other images may share, with what each adds to that. */
      readonly parts?: ReadonlyMap<string, number>;
      /** Where its signature is; absent when signatures are not checked. */
      readonly signature?: string;
      /** Absent where nothing but the archive says. */
      readonly manifest?: {
        readonly name: string;
        readonly labels: Labels;
        readonly dependencies: readonly Dependency[];
      };
    };
