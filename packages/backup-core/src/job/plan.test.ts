import { describe, expect, it } from 'vitest';
import { BackupPlanError } from '../words/errors.ts';
import { CLUSTER, FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { jobName } from '../words/names.ts';
import { planJob, type PlanOptions } from './plan.ts';

function domain(): FakeHypervisor {
  const fake = new FakeHypervisor();
  fake.addDisk('vda', Buffer.alloc(4 * CLUSTER));
  return fake;
}

async function refusal(fake: FakeHypervisor, options: PlanOptions = {}): Promise<string> {
  const error: unknown = await planJob(fake, options).then(
    () => expect.fail('it was planned'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BackupPlanError);
  expect(fake.calls, 'nothing was changed').toEqual([]);
  return (error as Error).message;
}

describe('planJob', () => {
  it('puts the scratch file beside the image and the socket into /var/tmp, under one unique name', async () => {
    const plan = await planJob(domain(), {});
    expect(plan.name).toMatch(/^tsbackup-[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(plan.checkpoint).toBe(plan.name);
    expect(plan.socket).toBe(`/var/tmp/${plan.name}.sock`);
    expect(plan.disks).toMatchObject([
      {
        name: 'vda',
        mode: 'full',
        source: '/images/vda.img',
        scratch: `/images/vda.img.${plan.name}.scratch`,
      },
    ]);
    expect((await planJob(domain(), {})).name).not.toBe(plan.name);
  });

  it('puts both into the scratch folder', async () => {
    const plan = await planJob(domain(), { scratchDir: '/scratch', name: 'n' });
    expect(plan.socket).toBe('/scratch/n.sock');
    expect(plan.disks[0]?.scratch).toBe('/scratch/n.vda.scratch');
  });

  it('gives a reason for every disk it leaves out', async () => {
    const fake = domain();
    fake.addDisk('vdb', Buffer.alloc(CLUSTER));
    fake.extraDisksXml = `<disk type='file' device='cdrom'><target dev='sda'/></disk>
      <disk type='file' device='disk'><source file='/r'/><target dev='vdc'/><readonly/></disk>`;
    expect((await planJob(fake, {})).excluded).toEqual([
      { name: 'sda', reason: 'is a cdrom' },
      { name: 'vdc', reason: 'is read-only' },
    ]);
    expect((await planJob(fake, { disks: ['vdb'] })).excluded).toContainEqual({
      name: 'vda',
      reason: 'not selected',
    });
  });

  it('refuses a domain that is shut off', async () => {
    const fake = domain();
    fake.active = false;
    expect(await refusal(fake)).toMatch(/domain fake is shut off/);
  });

  it('refuses a domain that is being backed up', async () => {
    const fake = domain();
    fake.job = {
      xml: `<domainbackup><server socket='/x'/><disks><disk name='vda'/></disks></domainbackup>`,
      exports: new Map(),
    };
    expect(await refusal(fake)).toMatch(/backup job already: disks vda, served at \/x/);
  });

  it('refuses a disk that holds no bitmap, naming disk and format', async () => {
    const fake = domain();
    fake.addDisk('vdb', Buffer.alloc(CLUSTER), 'raw');
    expect(await refusal(fake)).toMatch(/disk vdb .* is raw/);
    expect((await planJob(fake, { disks: ['vda'] })).disks.length).toBe(1);
  });

  it('refuses an unknown checkpoint, an unknown disk and a checkpoint that exists', async () => {
    const fake = domain();
    fake.checkpoints.set('c1', new Map());
    expect(await refusal(fake, { incremental: 'c0' })).toMatch(/no checkpoint c0/);
    expect(await refusal(fake, { disks: ['vdz'] })).toMatch(/no disk vdz, only vda/);
    expect(await refusal(fake, { checkpoint: 'c1' })).toMatch(/checkpoint c1 already/);
  });

  it('refuses a broken bitmap unless the disk may be demoted', async () => {
    const fake = domain();
    fake.checkpoints.set('c1', new Map([['vda', { dirty: new Set(), healthy: false }]]));
    expect(await refusal(fake, { incremental: 'c1' })).toMatch(/missing or inconsistent on vda/);
    const plan = await planJob(fake, { incremental: 'c1', demote: true });
    expect(plan.disks[0]).toMatchObject({ mode: 'full', demoted: /no usable bitmap on disk vda/ });
  });

  it('refuses a socket path that is too long, and a relative scratch folder', async () => {
    expect(await refusal(domain(), { scratchDir: `/${'x'.repeat(70)}` })).toMatch(/108 bytes|at most 107/);
    expect(await refusal(domain(), { scratchDir: 'scratch' })).toMatch(/not an absolute path/);
    const exactly = 107 - '/'.length - `${jobName()}.sock`.length - '/'.length;
    await planJob(domain(), { scratchDir: `/${'x'.repeat(exactly)}` });
    expect(await refusal(domain(), { scratchDir: `/${'x'.repeat(exactly + 1)}` })).toMatch(
      /would have 108 bytes/,
    );
  });
});
