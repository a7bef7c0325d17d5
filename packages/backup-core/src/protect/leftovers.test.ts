import { describe, expect, it } from 'vitest';
import { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { diskFacts, domainFacts } from '../job/facts.fixture.ts';
import type { Survey } from '../job/gather.ts';
import type { ImageBitmap } from '../ports/domain.ts';
import { HypervisorError } from '../words/errors.ts';
import type { DiskName } from '../words/peer-names.ts';
import { cleanUp, type NeededCheckpoint, planCleanup } from './leftovers.ts';

const vda = 'vda' as DiskName;
const vdb = 'vdb' as DiskName;
const isOurs = (name: string): boolean => name.startsWith('ours-');

function bitmap(image: string, name: string, more: Partial<ImageBitmap> = {}): ImageBitmap {
  return {
    node: `node-${image}`,
    image,
    name,
    dirtyBytes: 0,
    granularity: 65536,
    isRecording: true,
    isBusy: false,
    isPersistent: true,
    isInconsistent: false,
    ...more,
  };
}

const needed: NeededCheckpoint = {
  name: 'ours-2',
  creationTime: 1_700_000_000,
  disks: [
    { name: vda, image: '/a' },
    { name: vdb, image: '/b' },
  ],
};

const domainOf = (vdaChain: readonly string[]): Survey['facts'] =>
  domainFacts([diskFacts('vda', { chain: vdaChain }), diskFacts('vdb', { chain: ['/b'] })]);

function plan(
  state: { readonly checkpointNames?: readonly string[] } & Partial<Pick<Survey, 'facts' | 'bitmaps'>>,
  superseded: readonly string[] = [],
): readonly string[] {
  const whole: Survey = {
    facts: domainOf(['/a']),
    bitmaps: [],
    ...state,
    checkpointNames: state.checkpointNames ?? [],
  };
  const steps = planCleanup(whole, [needed], (name) => superseded.includes(name), isOurs);
  return steps.map((step) => {
    switch (step.type) {
      case 'redefine-checkpoint':
        return `redefine ${step.checkpoint.name} ${step.checkpoint.disks.map(({ name }) => name).join('+')}`;
      case 'delete-checkpoint':
        return `delete ${step.name}`;
      case 'remove-bitmap':
        return `remove ${step.name} of ${step.image}`;
    }
  });
}

describe('what becomes of checkpoints and bitmaps', () => {
  it('nothing, where all is as it should be', () => {
    const bitmaps = [bitmap('/a', 'ours-2'), bitmap('/b', 'ours-2'), bitmap('/a', 'theirs')];
    expect(plan({ checkpointNames: ['ours-2', 'theirs'], bitmaps })).toEqual([]);
  });

  it('superseded checkpoints go, the others of ours and of somebody else stay', () => {
    expect(plan({ checkpointNames: ['ours-1', 'ours-2', 'ours-9', 'theirs'] }, ['ours-1', 'ours-2'])).toEqual(
      ['delete ours-1'],
    );
  });

  it('a forgotten one is made known again on the disks that still have it', () => {
    const both = [bitmap('/a', 'ours-2'), bitmap('/b', 'ours-2')];
    expect(plan({ bitmaps: both })).toEqual(['redefine ours-2 vda+vdb']);
    expect(plan({ bitmaps: both.slice(1) })).toEqual(['redefine ours-2 vdb']);
  });

  it.each([
    ['is inconsistent', { isInconsistent: true }],
    ['records nothing', { isRecording: false }],
  ])('not where the bitmap %s: it goes', (_, more) => {
    expect(plan({ bitmaps: [bitmap('/a', 'ours-2', more)] })).toEqual(['remove ours-2 of /a']);
  });

  it('not where another image is in use: its bitmap knows nothing of that one', () => {
    const facts = domainOf(['/overlay', '/a']);
    expect(plan({ bitmaps: [bitmap('/a', 'ours-2')], facts })).toEqual(['remove ours-2 of /a']);
  });

  it('bitmaps that no checkpoint stands for go, but for those of a running job and of somebody else', () => {
    const bitmaps = [
      bitmap('/a', 'ours-1'),
      bitmap('/b', 'ours-1', { isInconsistent: true }),
      bitmap('/a', 'ours-5', { isBusy: true }),
      bitmap('/a', 'theirs'),
    ];
    expect(plan({ checkpointNames: ['ours-2'], bitmaps })).toEqual([
      'remove ours-1 of /a',
      'remove ours-1 of /b',
    ]);
  });
});

describe('a checkpoint that is deleted', () => {
  const step = { type: 'delete-checkpoint', name: 'ours-1' } as const;

  /** Two disks with bitmaps of two names; `ours-1` is known to be on one of them. */
  function domainWithHalf(): FakeHypervisor {
    const domain = new FakeHypervisor();
    for (const disk of ['vda', 'vdb']) domain.addDisk(disk, Buffer.alloc(4096));
    domain.addCheckpoint('theirs', 'vda', 'vdb');
    domain.addCheckpoint('ours-1', 'vda', 'vdb');
    domain.checkpoints.set('ours-1', { creationTime: 1, disks: [{ name: 'vdb', bitmap: 'ours-1' }] });
    return domain;
  }

  const left = ({ disks }: FakeHypervisor): readonly string[] =>
    [...disks].flatMap(([disk, { bitmaps }]) => [...bitmaps.keys()].map((name) => `${name} on ${disk}`));

  it('goes with its bitmaps on disks that it is not known to have', async () => {
    const domain = domainWithHalf();
    await cleanUp(domain, step);
    expect([...domain.checkpoints.keys()]).toEqual(['theirs']);
    expect(left(domain)).toEqual(['theirs on vda', 'theirs on vdb']);
  });

  it('so do those of one that is forgotten already', async () => {
    const domain = domainWithHalf();
    domain.checkpoints.delete('ours-1');
    await cleanUp(domain, step);
    expect(left(domain)).toEqual(['theirs on vda', 'theirs on vdb']);
  });

  it('what cannot be removed is an error', async () => {
    const domain = domainWithHalf();
    const error = new HypervisorError('failed', 'in use');
    domain.failures.set('removeBitmap', error);
    await expect(cleanUp(domain, step)).rejects.toBe(error);
  });

  it('is content where the hypervisor does not let us look for more', async () => {
    const domain = domainWithHalf();
    domain.imageBitmaps = () => Promise.reject(new HypervisorError('denied', 'no monitor'));
    await cleanUp(domain, step);
    expect([...domain.checkpoints.keys()]).toEqual(['theirs']);
  });
});
