import type { Row } from './reader.ts';

/** Reads columns of a row. All of these throw a plain error for what we would not have written: the row is damaged. */

export function textOf(row: Row, column: string): string {
  const value = row[column];
  return typeof value === 'string' ? value : damaged(column);
}

export function optionalTextOf(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : textOf(row, column);
}

export function numberOf(row: Row, column: string): number {
  const value = row[column];
  return typeof value === 'number' ? value : damaged(column);
}

export function optionalNumberOf(row: Row, column: string): number | undefined {
  return row[column] === null ? undefined : numberOf(row, column);
}

export function flagOf(row: Row, column: string): boolean {
  return numberOf(row, column) !== 0;
}

export function listOf(row: Row, column: string): readonly unknown[] {
  const value: unknown = JSON.parse(textOf(row, column));
  return Array.isArray(value) ? value : damaged(column);
}

function damaged(column: string): never {
  throw new Error(`the column ${column} is damaged`);
}
