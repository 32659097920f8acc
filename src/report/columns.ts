/** Of the table of outcomes. */
export const columns = ['status', 'image', 'bytes', 'work', 'wait', 'retries', 'signed by', 'error'] as const;
export type Column = (typeof columns)[number];
