/** Label name → value, as a manifest or a request states them. Insertion order is kept. */
export type Labels = ReadonlyMap<string, string>;
