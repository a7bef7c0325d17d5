import { describe, expect, it } from 'vitest';
import type { DiskFacts } from '../ports/domain.ts';
import type { ExclusionReason } from '../words/disk-answers.ts';
import { BackupPlanError, NotFoundError } from '../words/errors.ts';
import { canBeTracked, selectDisks, type Selection } from './disk-selection.ts';
import { diskFacts } from './facts.fixture.ts';

const web1 = { name: 'web1' };
const vda = diskFacts('vda');

function select(changes: Partial<DiskFacts>, wanted?: readonly string[]): Selection {
  return selectDisks(web1, [vda, diskFacts('vdb', changes)], wanted);
}

type Row = readonly [
  what: string,
  facts: Partial<DiskFacts>,
  unnamed: ExclusionReason | 'included',
  named: ExclusionReason | 'included',
];

const rows: readonly Row[] = [
  ['a raw file', { format: 'raw' }, 'included', 'included'],
  ['a block device', { source: { type: 'block', path: '/dev/vg/a' } }, 'included', 'included'],
  ['a network disk', { source: { type: 'network', description: 'nbd' } }, 'included', 'included'],
  ['a volume', { source: { type: 'volume', description: 'pool/volume' } }, 'included', 'included'],
  ['an NVMe device', { source: { type: 'nvme', description: 'nvme' } }, 'included', 'included'],
  ['a read-only disk', { isReadOnly: true }, 'read-only', 'included'],
  ['a shareable disk', { isShareable: true }, 'shareable', 'included'],
  ['a cdrom', { device: 'cdrom', isReadOnly: true }, 'cdrom', 'included'],
  ['an empty cdrom', { device: 'cdrom', source: { type: 'none' }, chain: [] }, 'cdrom', 'no-medium'],
  ['a floppy', { device: 'floppy' }, 'floppy', 'included'],
  ['a disk without medium', { source: { type: 'none' }, chain: [] }, 'no-medium', 'no-medium'],
  ['a transient disk', { isTransient: true }, 'unsupported', 'unsupported'],
  ['a SCSI device', { device: 'lun' }, 'unsupported', 'unsupported'],
  [
    'a vhost-user disk',
    { source: { type: 'vhostuser', description: 'vhostuser' } },
    'unsupported',
    'unsupported',
  ],
  ['a folder', { source: { type: 'other', description: 'dir' } }, 'unsupported', 'unsupported'],
];

describe('selectDisks', () => {
  it.each(rows)(
    'gives %s its own answer, named or not, and never costs another disk its backup',
    (_, facts, unnamed, named) => {
      for (const [wanted, answer] of [[undefined, unnamed] as const, [['vda', 'vdb'], named] as const]) {
        const { included, excluded } = select(facts, wanted);
        expect(included.map(({ name }) => name)).toEqual(answer === 'included' ? ['vda', 'vdb'] : ['vda']);
        expect(excluded.map(({ name, reason }) => [name, reason])).toEqual(
          answer === 'included' ? [] : [['vdb', answer]],
        );
        for (const { message } of excluded) expect(message).toMatch(/^disk vdb (is|has) /);
      }
    },
  );

  it('leaves out what is not named', () => {
    expect(select({ isTransient: true }, ['vda']).excluded).toEqual([
      { name: 'vdb', reason: 'not-selected', message: 'disk vdb was not selected' },
    ]);
  });

  it('refuses a disk that there is not, and lists those there are', () => {
    const call = (): unknown => select({}, ['vdz\u001b']);
    expect(call).toThrow(NotFoundError);
    expect(call).toThrow(/web1 has no disk vdz\uFFFD, only vda, vdb/);
  });

  it('refuses when no disk is left, with the reason of each', () => {
    const call = (): unknown => selectDisks(web1, [diskFacts('vdb', { isTransient: true })], ['vdb']);
    expect(call).toThrow(BackupPlanError);
    expect(call).toThrow(/no disk to back up: disk vdb is transient/);
    expect(() => selectDisks(web1, [], undefined)).toThrow(/no disk to back up$/);
  });
});

describe('canBeTracked', () => {
  it('is true of a qcow2 disk that its guest alone writes to', () => {
    expect(canBeTracked(vda)).toBe(true);
    for (const changes of [
      { format: 'raw' },
      { isReadOnly: true },
      { isShareable: true },
      { device: 'cdrom' },
    ] as const)
      expect(canBeTracked({ ...vda, ...changes })).toBe(false);
  });
});
