import { describe, expect, it } from 'vitest';
import { formatBar } from './progress.ts';

const MIB = 1024 * 1024;

describe('a line of progress', () => {
  const at = (columns: number, name = 'vda'): string =>
    formatBar(name, { value: 512 * MIB, total: 2048 * MIB, eta: 75 }, columns);

  it('shows what there is room for, the percentage always', () => {
    expect(at(80)).toBe('vda [==========------------------------------] 25% 512/2048 MiB, 1m15s left');
    expect(at(40)).toBe('vda 25% 512/2048 MiB, 1m15s left');
    expect(at(30)).toBe('vda 25% 512/2048 MiB');
    expect(at(12)).toBe('vda 25%');
    expect(at(12, 'a-very-long-name')).toBe('a-very- 25%');
  });

  it('never reaches the last column', () => {
    for (let columns = 8; columns < 200; columns++) {
      expect(at(columns).length).toBeLessThan(columns);
      expect(at(columns, 'n'.repeat(300))).toContain('25%');
    }
  });

  it('knows empty, whole and unknown', () => {
    const line = (value: number, total: number, eta: number): string =>
      formatBar('vda', { value, total, eta }, 40);
    expect(line(0, 0, 0)).toContain('100%');
    expect(line(MIB, MIB, 0)).toMatch(/\[=+\] 100% 1\/1 MiB$/);
    expect(line(0, MIB, Infinity)).toMatch(/\[-+\] 0% 0\/1 MiB$/);
  });
});
