import test from 'ava';

import { formatTable } from '../../../src/cli/image/table.ts';

test('columns are as wide as their widest cell, and nothing stands behind the last one', (t) => {
  const rows = [
    ['ID', 'NAME', 'SIZE'],
    ['sha512-0123', 'a', '1 B'],
    ['x', 'example.com/app', '12.5 KiB'],
  ];
  t.is(
    formatTable(rows),
    'ID           NAME             SIZE\nsha512-0123  a                1 B\nx            example.com/app  12.5 KiB\n',
  );
});

test('numbers end flush', (t) => {
  t.is(
    formatTable(
      [
        ['1 B', 'x'],
        ['100 B', 'y'],
      ],
      new Set([0]),
    ),
    '  1 B  x\n100 B  y\n',
  );
});

test('no rows are no text', (t) => {
  t.is(formatTable([]), '');
});
