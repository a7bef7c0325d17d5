import { expect, it } from 'vitest';
import { formatTable } from './table.ts';

const headings = ['ID', 'NAME'];
const rows = [
  ['1', 'web1'],
  ['-', 'database'],
];

it('columns where they fit, paragraphs where they do not', () => {
  expect(formatTable(rows, { headings, columns: 40 })).toBe('ID  NAME\n1   web1\n-   database');
  expect(formatTable(rows, { headings, columns: 11 })).toBe('ID: 1\nNAME: web1\n\nID: -\nNAME: database');
  expect(formatTable(rows, {})).toBe('1  web1\n-  database');
});
