import { describe, expect, it } from 'vitest';
import { explore, PROTOCOL } from './protocol-model.fixture.ts';

describe('two writers, a reader and a sweep, in every order, with a crash at every step', () => {
  it('no point ever lacks a pack, nobody who lives loses what they rely on', { timeout: 600_000 }, () => {
    const { states, broken } = explore(PROTOCOL);
    expect(broken).toBeUndefined();
    // Nothing was explored if the model does not move.
    expect(states).toBeGreaterThan(10_000);
  });

  it.each([
    ['the sweep waits for nobody', { waits: false }, [2]],
    ['the sweep looks for leases before it lists packs', { leasesLast: false }, [2]],
    ['the sweep does not look at the points again', { looksAgain: false }, [2]],
    ['a writer commits without a seal', { seals: false }, [2]],
    ['what a dead writer committed is undone', { asksForCommit: false }, [2]],
    ['a point is removed while its commit is not over', { sparesSealed: false }, [2]],
    ['the lease is put after the first look', { leaseFirst: false }, []],
  ])('each part is needed: it goes wrong where %s', { timeout: 600_000 }, (_, without, idle) => {
    expect(explore({ ...PROTOCOL, ...without }, idle).broken).toMatch(/lacks a pack/);
  });
});
