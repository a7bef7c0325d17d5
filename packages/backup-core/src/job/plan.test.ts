import { describe, expect, it } from 'vitest';
import type { CheckpointFacts, DiskFacts } from '../ports/domain.ts';
import type { EarlierDisk } from '../words/disk-answers.ts';
import { BackupPlanError, NotFoundError } from '../words/errors.ts';
import { jobName } from '../words/names.ts';
import { diskFacts, domainFacts } from './facts.fixture.ts';
import { jobSpecOf, type JobPlan, planJob, type PlanInput, type PlanOptions } from './plan.ts';

const raw: Partial<DiskFacts> = { format: 'raw' };

function plan(
  disks: readonly DiskFacts[],
  options: PlanOptions = {},
  input: Partial<PlanInput> = {},
): JobPlan {
  const domain = { name: 'web1', uuid: '11111111-2222-3333-4444-555555555555' };
  const known = { running: null, checkpointNames: [], checkpoints: new Map(), bitmaps: [] };
  return planJob({ domain, facts: domainFacts(disks), ...known, ...input }, options);
}

function checkpoint(name: string, ...disks: readonly string[]): [string, CheckpointFacts] {
  const bitmaps = disks.map((disk) => ({ name: disk, bitmap: name, dirtyBytes: 65536 }));
  return [name, { name, creationTime: 1, disks: bitmaps }];
}

function earlier(disk: string, since: string): [string, EarlierDisk] {
  const image = `/i/${disk}.qcow2`;
  return [disk, { checkpoint: since, creationTime: 1, image, smallestSize: 1024 * 1024 }];
}

function readings({ disks }: JobPlan): string[] {
  return disks.map(({ name, reading }) =>
    reading.mode === 'full' ? `${name} full: ${reading.reason}` : `${name} since ${reading.checkpoint}`,
  );
}

const vda = diskFacts('vda');
const vdb = diskFacts('vdb');

it('a disk that shares for too long is read in full, and no other one with it', () => {
  const bitmaps = new Map([checkpoint('c1', 'vda', 'vdb')]);
  const options = {
    earlier: new Map([earlier('vda', 'c1'), earlier('vdb', 'c1')]),
    tooOld: new Set(['vda']),
  };
  expect(readings(plan([vda, vdb], options, { checkpoints: bitmaps }))).toEqual([
    'vda full: too-old',
    'vdb since c1',
  ]);
  // Whatever else would be a reason: it is the one that says what is stored.
  const raw = diskFacts('vda', { format: 'raw' });
  expect(readings(plan([raw], { ...options, mode: 'full' }))).toEqual(['vda full: too-old']);
  const lost = new Map([checkpoint('c1', 'vda')]);
  expect(() => plan([vda, vdb], options, { checkpoints: lost })).toThrow(/no incremental/);
});

describe('places of a job', () => {
  it('are beside the image and in /var/tmp, under one unique name', () => {
    const given = plan([vda]);
    expect(given.name).toMatch(/^tsbackup-[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(given.checkpoint).toBe(given.name);
    expect(given.socket).toBe(`/var/tmp/${given.name}.sock`);
    expect(given.disks[0]?.scratch).toBe(`/i/${given.name}.vda.scratch`);
    expect(plan([vda]).name).not.toBe(given.name);
  });

  it('are in the scratch folder, if there is one', () => {
    const given = plan([vda], { scratchDir: '/scratch', name: 'n' });
    expect(given.socket).toBe('/scratch/n.sock');
    expect(given.disks[0]?.scratch).toBe('/scratch/n.vda.scratch');
  });

  it('do not depend on names of images, however alike and long they are', () => {
    const long = 'x'.repeat(250);
    const alike = ['vda', 'vdb'].map((name, index) => {
      const path = `/i/${long}${index}`;
      return diskFacts(name, { source: { type: 'file', path }, chain: [path] });
    });
    const scratch = plan(alike, { name: 'n' }).disks.map((disk) => disk.scratch);
    expect(scratch).toEqual(['/i/n.vda.scratch', '/i/n.vdb.scratch']);
  });

  it('are beside the first writable file for disks that are none, else in /var/tmp', () => {
    const network = diskFacts('vdc', { ...raw, source: { type: 'network', description: 'nbd' } });
    const block = diskFacts('vdd', { ...raw, source: { type: 'block', path: '/dev/vg/d' } });
    const cdrom = diskFacts('sda', { device: 'cdrom', source: { type: 'file', path: '/iso/a.iso' } });
    const paths = (disks: readonly DiskFacts[]): string[] =>
      plan(disks, { name: 'n', disks: disks.map((disk) => disk.name) }).disks.map((disk) => disk.scratch);
    expect(paths([network, block, cdrom, vda])).toEqual([
      '/i/n.vdc.scratch',
      '/i/n.vdd.scratch',
      '/i/n.sda.scratch',
      '/i/n.vda.scratch',
    ]);
    expect(paths([network])).toEqual(['/var/tmp/n.vdc.scratch']);
  });

  it('are refused where the folder is relative or the socket path too long', () => {
    expect(() => plan([vda], { scratchDir: 'scratch' })).toThrow(/not an absolute path/);
    const exactly = 107 - '/'.length - `${jobName()}.sock`.length - '/'.length;
    plan([vda], { scratchDir: `/${'x'.repeat(exactly)}` });
    expect(() => plan([vda], { scratchDir: `/${'x'.repeat(exactly + 1)}` })).toThrow(/would have 108 bytes/);
  });
});

describe('planJob refuses', () => {
  it('a domain that is shut off, and one that is being backed up', () => {
    const off = { facts: domainFacts([vda], { isActive: false }) };
    expect(() => plan([vda], {}, off)).toThrow(expect.objectContaining({ reason: 'domain-off' }));
    const disks = [{ name: 'vda', exportName: 'vda', scratch: '/s' }];
    const busy = { running: { mode: 'pull' as const, socket: '/x', disks } };
    expect(() => plan([vda], {}, busy)).toThrow(/backup job already: disks vda, served at \/x/);
    expect(() => plan([vda], {}, busy)).toThrow(expect.objectContaining({ reason: 'domain-busy' }));
  });

  it('a checkpoint that exists, and one to start from that does not', () => {
    const existing = { checkpointNames: ['c1'] };
    expect(() => plan([vda], { checkpoint: 'c1' }, existing)).toThrow(
      expect.objectContaining({ reason: 'checkpoint-exists' }),
    );
    expect(() => plan([vda], { incremental: 'c0' }, existing)).toThrow(NotFoundError);
    expect(readings(plan([vda], { incremental: 'c0', demote: true }))).toEqual([
      'vda full: checkpoint-missing',
    ]);
  });

  it('an incremental that cannot be, unless it may be demoted', () => {
    const checkpoints = new Map([checkpoint('c1', 'vda')]);
    const call = (): unknown => plan([vda, vdb], { incremental: 'c1' }, { checkpoints });
    expect(call).toThrow(BackupPlanError);
    expect(call).toThrow(/no incremental .* web1: .* checkpoint c1 on disk vdb is missing/);
    expect(readings(plan([vda, vdb], { incremental: 'c1', demote: true }, { checkpoints }))).toEqual([
      'vda since c1',
      'vdb full: bitmap-unusable',
    ]);
  });
});

describe('planJob reads', () => {
  it('everything in full where nothing is known, or where that is asked for', () => {
    expect(readings(plan([vda, diskFacts('vdb', raw)]))).toEqual(['vda full: asked', 'vdb full: asked']);
    const known = { earlier: new Map([earlier('vda', 'c1')]) };
    const checkpoints = new Map([checkpoint('c1', 'vda')]);
    expect(readings(plan([vda], known, { checkpoints }))).toEqual(['vda since c1']);
    expect(readings(plan([vda], { ...known, mode: 'full' }, { checkpoints }))).toEqual(['vda full: asked']);
  });

  it('each disk since its own checkpoint, and a new one in full', () => {
    const known = new Map([earlier('vda', 'c2'), earlier('vdb', 'c1')]);
    const checkpoints = new Map([checkpoint('c1', 'vda', 'vdb'), checkpoint('c2', 'vda')]);
    const given = plan([vda, vdb, diskFacts('vdc')], { earlier: known, demote: true }, { checkpoints });
    expect(readings(given)).toEqual(['vda since c2', 'vdb since c1', 'vdc full: first']);
    expect(given.disks.map(({ exportBitmap, dirtyBytes }) => [exportBitmap, dirtyBytes])).toEqual([
      ['backup-vda', 65536],
      ['backup-vdb', 65536],
      [undefined, undefined],
    ]);
  });

  it('a disk without bitmap in full even where an incremental is insisted on', () => {
    const checkpoints = new Map([checkpoint('c1', 'vda')]);
    const given = plan([vda, diskFacts('vdb', raw)], { incremental: 'c1' }, { checkpoints });
    expect(readings(given)).toEqual(['vda since c1', 'vdb full: no-bitmap']);
    expect(given.disks[1]?.reading).toMatchObject({
      message: expect.stringMatching(/disk vdb is of format raw/) as string,
    });
  });

  it('in full what the hypervisor refused to use the bitmap of, and keeps the other reasons', () => {
    const known = new Map([earlier('vda', 'c1')]);
    const checkpoints = new Map([checkpoint('c1', 'vda')]);
    const given = plan(
      [vda, vdb],
      { earlier: known, demote: true, refused: new Map([['vda', 'of different sizes']]) },
      { checkpoints },
    );
    expect(readings(given)).toEqual(['vda full: bitmap-refused', 'vdb full: first']);
    expect(given.disks[0]?.reading).toMatchObject({
      message: expect.stringMatching(/disk vda: of different sizes/) as string,
    });
  });
});

describe('jobSpecOf', () => {
  it('names each disk of the domain, with a bitmap or without', () => {
    const checkpoints = new Map([checkpoint('c1', 'vda')]);
    const disks = [vda, diskFacts('vdb', raw), diskFacts('vdc', { isReadOnly: true })];
    const spec = jobSpecOf(plan(disks, { incremental: 'c1', checkpoint: 'c2', name: 'n' }, { checkpoints }));
    expect(spec).toEqual({
      socket: '/var/tmp/n.sock',
      disks: [
        {
          name: 'vda',
          scratch: '/i/n.vda.scratch',
          exportName: 'vda',
          incremental: { checkpoint: 'c1', exportBitmap: 'backup-vda' },
        },
        { name: 'vdb', scratch: '/i/n.vdb.scratch', exportName: 'vdb', incremental: undefined },
      ],
      checkpoint: { name: 'c2', tracked: ['vda'], untracked: ['vdb', 'vdc'] },
    });
  });

  it('has no checkpoint where none is wanted, or no disk could have a bitmap', () => {
    expect(jobSpecOf(plan([vda], { checkpoint: null })).checkpoint).toBe(null);
    expect(plan([vda], { checkpoint: null }).disks[0]?.isTracked).toBe(false);
    expect(jobSpecOf(plan([diskFacts('vdb', raw)], { checkpoint: 'c1' })).checkpoint).toBe(null);
  });
});
