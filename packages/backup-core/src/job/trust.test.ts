import { describe, expect, it } from 'vitest';
import type { CheckpointFacts, DiskFacts, ImageBitmap } from '../ports/domain.ts';
import type { ByteRange } from '../transfer/layout.ts';
import type { EarlierDisk, FullReason } from '../words/disk-answers.ts';
import { diskFacts } from './facts.fixture.ts';
import { beyondSmallest, type Evidence, type Trust, trustBitmap } from './trust.ts';

const MIB = 1024 * 1024;

const earlier: EarlierDisk = {
  checkpoint: 'c1',
  creationTime: 1_700_000_000,
  image: '/i/vda.qcow2',
  smallestSize: 48 * MIB,
};
const checkpoint: CheckpointFacts = {
  name: 'c1',
  creationTime: 1_700_000_000,
  disks: [{ name: 'vda', bitmap: 'c1', dirtyBytes: 65536 }],
};
const bitmap: ImageBitmap = {
  node: 'n1',
  image: '/i/vda.qcow2',
  imageSize: 48 * MIB,
  name: 'c1',
  dirtyBytes: 65536,
  granularity: 65536,
  isRecording: true,
  isBusy: false,
  isPersistent: true,
  isInconsistent: false,
};

function disk(changes: Partial<DiskFacts> = {}): DiskFacts {
  return diskFacts('vda', { size: 48 * MIB, ...changes });
}

function trust(changes: Partial<Evidence> = {}): Trust {
  return trustBitmap({ disk: disk(), earlier, checkpoint, bitmaps: [bitmap], ...changes });
}

function expectFull(given: Trust, reason: FullReason, message: RegExp): void {
  expect(given.reading).toMatchObject({
    mode: 'full',
    reason,
    message: expect.stringMatching(message) as string,
  });
  expect(given).toMatchObject({
    smallestSize: undefined,
    lastCleanCluster: undefined,
    dirtyBytes: undefined,
  });
}

describe('trustBitmap', () => {
  it('reads in full where the image of the earlier point has lost its bitmap, though overlays have theirs', () => {
    const snapshot = disk({ chain: ['/i/snap.qcow2', '/i/vda.qcow2'] });
    const overlay = { ...bitmap, image: '/i/snap.qcow2' };
    const lost = trust({ disk: snapshot, bitmaps: [overlay] });
    expectFull(lost, 'bitmap-unusable', /is missing in \/i\/vda\.qcow2/);
    expect(trust({ disk: snapshot, bitmaps: [overlay, bitmap] }).reading.mode).toBe('incremental');
    // Where nothing can be seen of the images the hypervisor's word is all there is.
    expect(trust({ disk: snapshot, bitmaps: [] }).reading.mode).toBe('incremental');
  });

  it('doubts the end of a disk that shrank, which cuts through blocks of the earlier point', () => {
    expect(beyondSmallest(25 * MIB - 512, 48 * MIB)).toEqual([{ offset: 24 * MIB, length: MIB - 512 }]);
    expect(beyondSmallest(24 * MIB, 48 * MIB)).toEqual([]);
  });

  it('believes a bitmap that nothing speaks against', () => {
    expect(trust()).toEqual({
      reading: { mode: 'incremental', checkpoint: 'c1' },
      smallestSize: earlier.smallestSize,
      cluster: undefined,
      lastCleanCluster: undefined,
      dirtyBytes: 65536,
    });
  });

  it('believes what it cannot compare: a checkpoint alone is all that was named', () => {
    const named = { checkpoint: 'c1', creationTime: undefined, image: undefined, smallestSize: undefined };
    expect(trust({ earlier: named, bitmaps: [] }).reading.mode).toBe('incremental');
  });

  it('has nothing to believe without an earlier point', () => {
    expectFull(trust({ earlier: undefined }), 'first', /no earlier point of disk vda/);
  });

  it('knows a disk by its image, in use or backing, whatever its target', () => {
    const other = disk({ chain: ['/i/vdb.qcow2'] });
    expectFull(
      trust({ disk: other }),
      'image-changed',
      /was \/i\/vda\.qcow2, .* its image now, \/i\/vdb\.qcow2/,
    );
    const snapshot = disk({ chain: ['/i/snap.qcow2', '/i/vda.qcow2', '/i/base.qcow2'] });
    expect(trust({ disk: snapshot }).reading.mode).toBe('incremental');
    expectFull(trust({ disk: disk({ chain: [] }) }), 'image-changed', /its image now, none/);
  });

  it('knows when something else has come to back the image, and not when something has gone', () => {
    const three = { ...earlier, chain: ['/i/vda.qcow2', '/i/mid.qcow2', '/i/base.qcow2'] };
    const chained = (...chain: string[]): Trust => trust({ disk: disk({ chain }), earlier: three });
    expect(chained('/i/vda.qcow2', '/i/base.qcow2').reading.mode).toBe('incremental');
    expect(chained('/i/vda.qcow2').reading.mode).toBe('incremental');
    expect(chained('/i/snap.qcow2', '/i/vda.qcow2', '/i/mid.qcow2').reading.mode).toBe('incremental');
    expectFull(chained('/i/vda.qcow2', '/i/new.qcow2'), 'image-changed', /is backed by \/i\/new\.qcow2 now/);
  });

  it('compares the creation time of the checkpoint, not its name alone', () => {
    expectFull(trust({ checkpoint: null }), 'checkpoint-missing', /does not know checkpoint c1/);
    expectFull(
      trust({ checkpoint: { ...checkpoint, creationTime: 1_700_000_001 } }),
      'checkpoint-recreated',
      /made at 2023-11-14T22:13:20.000Z, .* now at 2023-11-14T22:13:21/,
    );
    const absurd = { ...checkpoint, creationTime: Number.MAX_SAFE_INTEGER };
    expectFull(trust({ checkpoint: absurd }), 'checkpoint-recreated', /now at second 9007199254740991/);
  });

  it('needs a bitmap that is there and whole', () => {
    const broken = { ...checkpoint, disks: [{ name: 'vda', bitmap: 'c1', dirtyBytes: undefined }] };
    expectFull(trust({ checkpoint: broken }), 'bitmap-unusable', /missing or inconsistent/);
    const elsewhere = { ...checkpoint, disks: [{ name: 'vdb', bitmap: 'c1', dirtyBytes: 0 }] };
    expectFull(trust({ checkpoint: elsewhere }), 'bitmap-unusable', /is missing$/);
    expectFull(
      trust({ bitmaps: [{ ...bitmap, isInconsistent: true }] }),
      'bitmap-unusable',
      /is inconsistent/,
    );
    expectFull(trust({ bitmaps: [{ ...bitmap, isRecording: false }] }), 'bitmap-unusable', /does not record/);
  });

  it('does not hold against a disk what is wrong with the bitmap of another, or with another bitmap', () => {
    const bitmaps = [
      bitmap,
      { ...bitmap, image: '/i/vdb.qcow2', isInconsistent: true, imageSize: MIB },
      { ...bitmap, name: 'c0', isRecording: false },
    ];
    expect(trust({ bitmaps }).reading.mode).toBe('incremental');
  });

  it('lets the bitmap of a backing image be at rest', () => {
    const bitmaps = [
      { ...bitmap, image: '/i/snap.qcow2' },
      { ...bitmap, isRecording: false },
    ];
    const snapshot = disk({ chain: ['/i/snap.qcow2', '/i/vda.qcow2'] });
    expect(trust({ disk: snapshot, bitmaps }).reading.mode).toBe('incremental');
  });

  it('sees in advance that bitmaps of two sizes cannot be put together', () => {
    const bitmaps = [{ ...bitmap, image: '/i/snap.qcow2', imageSize: 49 * MIB }, bitmap];
    const snapshot = disk({ chain: ['/i/snap.qcow2', '/i/vda.qcow2'] });
    expectFull(trust({ disk: snapshot, bitmaps }), 'bitmap-refused', /sizes of 51380224 and 50331648 bytes/);
  });

  it('looks into the images where the hypervisor failed on another disk', () => {
    const disks = [{ name: 'vda', bitmap: 'c1', dirtyBytes: undefined }];
    const silent = { ...checkpoint, disks, sizesRefused: 'of different sizes' };
    expect(trust({ checkpoint: silent })).toMatchObject({
      reading: { mode: 'incremental' },
      dirtyBytes: 65536,
    });
    expectFull(trust({ checkpoint: silent, bitmaps: [] }), 'bitmap-refused', /used: of different sizes/);
    expectFull(
      trust({ checkpoint: silent, bitmaps: [{ ...bitmap, isInconsistent: true }] }),
      'bitmap-unusable',
      /is inconsistent/,
    );
  });

  it('doubts what lies beyond the smallest size, from the beginning of the largest cluster it may be in', () => {
    const beyond = (smallest: number): readonly ByteRange[] => beyondSmallest(48 * MIB, smallest);
    expect(beyond(24 * MIB + 512)).toEqual([{ offset: 24 * MIB, length: 24 * MIB }]);
    expect(beyond(3 * MIB)).toEqual([{ offset: 2 * MIB, length: 46 * MIB }]);
    expect(beyond(48 * MIB)).toEqual([]);
  });

  it('knows clusters that are larger than what a bit of the bitmap stands for', () => {
    const backing = { ...bitmap, image: '/i/base.qcow2', clusterSize: 2 * MIB };
    const backed = disk({ chain: ['/i/vda.qcow2', '/i/base.qcow2'] });
    expect(trust({ disk: backed, bitmaps: [{ ...bitmap, clusterSize: 65536 }, backing] }).cluster).toBe(
      2 * MIB,
    );
    expect(trust({ bitmaps: [{ ...bitmap, clusterSize: 65536 }] }).cluster).toBe(undefined);
    expect(trust({ bitmaps: [] }).cluster, 'not seen').toBe(2 * 1024 * 1024);
  });

  it('doubts the last clean cluster of an image that is or was backed by another', () => {
    const backed = disk({ chain: ['/i/vda.qcow2', '/i/base.qcow2'] });
    expect(trust({ disk: backed }).lastCleanCluster).toBe(2 * MIB);
    expect(
      trust({ earlier: { ...earlier, chain: ['/i/vda.qcow2', '/i/base.qcow2'] } }).lastCleanCluster,
    ).toBe(2 * MIB);
  });

  it('shows no control characters of a peer', () => {
    const { reading } = trust({ disk: disk({ chain: ['/i/\u001b[31m\u202e.qcow2'] }) });
    expect(JSON.stringify(reading)).not.toMatch(/u001b|\u202e/);
  });
});
