import { describe, expect, it } from 'vitest';
import { startPullBackup } from '../start-pull-backup.ts';
import { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import {
  checkOptions,
  milliseconds,
  oneOf,
  orNull,
  positiveInteger,
  someFunction,
  someObject,
} from './check-options.ts';

describe('options of startPullBackup', () => {
  it.each([
    ['vda', /the options of startPullBackup are "vda", not an object/],
    [{ disks: 'vda' }, /option disks of startPullBackup is "vda", not an array of disks/],
    [{ disks: [] }, /option disks .* an array of 0, not/],
    [{ disks: ['vda', 'vda'] }, /each of them once/],
    [{ incremental: '' }, /option incremental .* is "", not a text that is not empty/],
    [{ checkpoint: '../x' }, /option checkpoint .* or null/],
    [{ name: 'a/b' }, /option name .* is "a\/b"/],
    [{ demote: 1 }, /option demote .* is 1, not true or false/],
    [{ idleTimeoutMs: '5' }, /option idleTimeoutMs .* is "5", not a whole number of milliseconds/],
    [{ idleTimeoutMs: 2 ** 31 }, /from 0 to 2147483647/],
    [{ signal: {} }, /option signal .* is an object, not an AbortSignal/],
    [{ scratchdir: '/x' }, /has no option scratchdir, only .*scratchDir/],
    [{ mode: 'incremental' }, /option mode .* not one of full/],
  ])('%j are refused before anything is done', async (options, message) => {
    const fake = new FakeHypervisor();
    fake.describe = () => expect.fail('it was asked');
    const refused = startPullBackup(fake, options as object);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ code: 'ERR_BACKUP_USAGE', reason: 'option' });
  });
});

describe('checkOptions', () => {
  const checks = {
    size: positiveInteger,
    limit: orNull(milliseconds),
    done: someFunction,
    more: someObject,
    how: oneOf('a', 'b'),
  };
  const good = { size: 1, limit: null, done: () => 0, more: {}, how: 'b' };

  it('accepts what is right, and undefined for everything', () => {
    checkOptions('it', good, checks);
    checkOptions('it', { size: undefined } as unknown as typeof good, checks);
  });

  it.each([
    [{ size: 0 }],
    [{ size: 1.5 }],
    [{ limit: -1 }],
    [{ done: 'x' }],
    [{ more: [] }],
    [{ how: 'c' }],
    [{ constructor: 1 }],
    [{ toString: 1 }],
  ])('refuses %j', (wrong) => {
    expect(() => {
      checkOptions('it', wrong as unknown as typeof good, checks);
    }).toThrow(/of it is|it has no option/);
  });
});
