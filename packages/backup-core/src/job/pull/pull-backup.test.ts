import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { DiskMessage, JobMessage } from '../../diagnostics.ts';
import { CLUSTER, FakeHypervisor, noFiles } from '../../fake-hypervisor.fixture.ts';
import { type BlockSource, type OpenExport, SourceError } from '../../ports/block-source.ts';
import { BackupJobError, HypervisorError } from '../../words/errors.ts';
import { type PullBackup, type PullBackupOptions, runPullBackup } from './pull-backup.ts';

function domain(): FakeHypervisor {
  const fake = new FakeHypervisor();
  fake.addDisk('vda', Buffer.alloc(4 * CLUSTER, 1));
  return fake;
}

function start(
  fake: FakeHypervisor,
  options: PullBackupOptions = {},
  openExport: OpenExport = fake.openExport,
): Promise<PullBackup> {
  return runPullBackup(fake, { openExport, files: noFiles }, options);
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error,
  );
}

async function readAll(backup: PullBackup): Promise<void> {
  for (const disk of backup.disks)
    for await (const { offset } of disk.chunks()) expect(offset).toBeLessThan(disk.size);
}

const never = new Promise<never>(() => undefined);

/** Waits for ever, as a call to a daemon that is stopped does. */
function waitFor(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });
}

describe('runPullBackup', () => {
  it.each(['failed', 'aborted'] as const)('begins nothing where noting it down %s', async (how) => {
    const fake = domain();
    const told: string[] = [];
    const onJob = (message: unknown): number => told.push((message as JobMessage).state);
    const reason = new Error('enough');
    const abort = new AbortController();
    const note = (): Promise<void> => {
      if (how === 'failed') return Promise.reject(reason);
      abort.abort(reason);
      return Promise.resolve();
    };
    subscribe('libvirt-ts-backup:job', onJob);
    try {
      const tools = { openExport: fake.openExport, files: noFiles, note };
      expect(await failure(runPullBackup(fake, tools, { signal: abort.signal }))).toBe(reason);
    } finally {
      unsubscribe('libvirt-ts-backup:job', onJob);
    }
    expect(told).toEqual(['planned', 'ended']);
    expect(fake.calls).toEqual([]);
  });

  it('names owner and mode of a socket that may not be opened', async () => {
    const fake = domain();
    const denied = new SourceError('denied', 'connect EACCES');
    const open = (): Promise<never> => Promise.reject(denied);
    const files = { ...noFiles, describe: (path: string) => Promise.resolve(`${path} (owner 1:2)`) };
    const options = { scratchDir: '/scratch', name: 'n' };
    const error = await failure(runPullBackup(fake, { openExport: open, files }, options));
    expect(error).toBeInstanceOf(BackupJobError);
    expect(error).toMatchObject({ reason: 'denied', phase: 'connect', disk: 'vda', cleanupErrors: [] });
    expect((error as Error).message).toContain('/scratch/n.sock (owner 1:2)');
    expect(fake.job).toBeUndefined();
    expect(fake.checkpoints.size).toBe(0);
  });

  it('names the folders where QEMU may not write', async () => {
    const fake = domain();
    fake.failures.set('beginBackup', new HypervisorError('denied', 'permission denied'));
    const error = await failure(start(fake, { scratchDir: '/scratch' }));
    expect(error).toMatchObject({ reason: 'denied', phase: 'begin' });
    expect((error as Error).message).toMatch(/QEMU's user must be able to write .*: \/scratch$/);
  });

  it('says what could not be cleaned up', async () => {
    const fake = domain();
    fake.failures.set('openExport', new SourceError('failed', 'no server'));
    fake.failures.set('deleteCheckpoint', new Error('daemon is gone'));
    const error = await failure(start(fake));
    expect(error).toMatchObject({ message: expect.stringMatching(/no server.*daemon is gone/) as string });
    expect((error as BackupJobError).cleanupErrors.length).toBe(1);
  });

  it('an abort during begin waits for its answer and ends the job', async () => {
    const fake = domain();
    const abort = new AbortController();
    const begin = fake.beginBackup.bind(fake);
    fake.beginBackup = async (...args): Promise<void> => {
      abort.abort();
      await begin(...args);
    };
    expect(await failure(start(fake, { signal: abort.signal }))).toBe(abort.signal.reason);
    expect(fake.calls).toEqual(['beginBackup', 'abortJob', 'deleteCheckpoint']);
  });

  it('never ends a job that is not its own, nor deletes a checkpoint that it did not make', async () => {
    const fake = domain();
    fake.beginBackup = (): Promise<void> => {
      fake.job = { mode: 'pull', socket: '/theirs', disks: [], exports: new Map() };
      fake.addCheckpoint('c1', 'vda');
      return Promise.reject(new HypervisorError('failed', 'there is a checkpoint c1 already'));
    };
    expect(await failure(start(fake, { checkpoint: 'c1' }))).toMatchObject({ phase: 'begin' });
    expect(fake.job).toBeDefined();
    expect([...fake.checkpoints.keys()]).toEqual(['c1']);
    expect(fake.calls).toEqual([]);
  });
});

describe('a bitmap that the hypervisor refuses', () => {
  function withTwoDisks(): FakeHypervisor {
    const fake = domain();
    fake.addDisk('vdb', Buffer.alloc(4 * CLUSTER, 1));
    fake.addCheckpoint('c1', 'vda', 'vdb');
    return fake;
  }

  it('demotes what it is told of, and the job begins', async () => {
    const fake = withTwoDisks();
    const refused = new HypervisorError('bitmap', "Bitmaps of disk 'vdb' can't be merged", { disk: 'vdb' });
    fake.failures.set('beginBackup', refused);
    await using backup = await start(fake, { incremental: 'c1', demote: true });
    expect(fake.calls.slice(0, 2)).toEqual(['beginBackup', 'beginBackup']);
    expect(backup.disks.map(({ name, mode, reason }) => [name, mode, reason])).toEqual([
      ['vda', 'incremental', undefined],
      ['vdb', 'full', 'bitmap-refused'],
    ]);
    expect(backup.disks[1]?.message).toMatch(/can't be merged/);
    expect(backup.record.disks[1]?.reading).toMatchObject({ reason: 'bitmap-refused' });
  });

  it('demotes all that have one where it is not told of which', async () => {
    const fake = withTwoDisks();
    fake.failures.set('beginBackup', new HypervisorError('bitmap', 'Bitmaps are of different sizes'));
    await using backup = await start(fake, { incremental: 'c1', demote: true });
    expect(backup.disks.map(({ reason }) => reason)).toEqual(['bitmap-refused', 'bitmap-refused']);
  });

  it('is an error where no disk may be demoted', async () => {
    const fake = withTwoDisks();
    fake.failures.set('beginBackup', new HypervisorError('bitmap', 'Bitmaps are of different sizes'));
    expect(await failure(start(fake, { incremental: 'c1' }))).toMatchObject({ phase: 'begin' });
    expect(fake.calls.filter((call) => call === 'beginBackup').length).toBe(1);
  });
});

describe('complete', () => {
  it('keeps the checkpoint and is final; abort after it does nothing', async () => {
    const fake = domain();
    const backup = await start(fake, { checkpoint: 'c1' });
    await readAll(backup);
    await backup.complete();
    await backup.complete();
    await backup.abort();
    await backup[Symbol.asyncDispose]();
    expect([...fake.checkpoints.keys()]).toEqual(['c1']);
    expect(fake.calls).toEqual(['beginBackup', 'openExport', 'abortJob']);
  });

  it('refuses what was not read to the end, and goes on', async () => {
    const fake = domain();
    await using backup = await start(fake, { checkpoint: 'c1' });
    for await (const chunk of backup.disks[0]?.chunks({ requestBytes: CLUSTER }) ?? []) {
      expect(chunk.offset).toBe(0);
      break;
    }
    const error = await failure(backup.complete());
    expect(error).toBeInstanceOf(BackupJobError);
    expect(error).toMatchObject({ reason: 'incomplete', message: expect.stringMatching(/vda/) as string });
    expect(fake.job).toBeDefined();
    await readAll(backup);
    await backup.complete();
    expect(backup.record).toMatchObject({ state: 'ended', outcome: 'completed', left: [] });
  });

  it('accepts it where that is said, and nothing else for it', async () => {
    const fake = domain();
    await using backup = await start(fake, { checkpoint: 'c1' });
    const wrong = backup.complete({ unread: 'yes' as 'accept' });
    expect(await failure(wrong)).toMatchObject({ code: 'ERR_BACKUP_USAGE', reason: 'option' });
    await backup.complete({ unread: 'accept' });
    expect([...fake.checkpoints.keys()]).toEqual(['c1']);
  });

  it('fails after an abort, whatever was read: the checkpoint is gone', async () => {
    const fake = domain();
    const given = await start(fake);
    await readAll(given);
    await given.abort();
    expect(await failure(given.complete())).toMatchObject({ phase: 'end', reason: 'aborted' });
    expect(await failure(given.complete({ unread: 'accept' }))).toMatchObject({ reason: 'aborted' });
    expect(fake.checkpoints.size).toBe(0);
    expect(given.record).toMatchObject({ state: 'ended', outcome: 'aborted' });
  });

  it('tells a checkpoint that has vanished, and a job that does not end, from data that is lost', async () => {
    const fake = domain();
    const lost = await start(fake, { checkpoint: 'c2' });
    fake.checkpoints.clear();
    expect(await failure(lost.complete({ unread: 'accept' }))).toMatchObject({
      phase: 'end',
      reason: 'checkpoint-lost',
      message: expect.stringMatching(/is complete, but its checkpoint c2 has vanished/) as string,
    });
    await using stuck = await start(fake, { checkpoint: 'c3' });
    fake.failures.set('abortJob', new Error('daemon is gone'));
    const error = await failure(stuck.complete({ unread: 'accept' }));
    expect(error).toMatchObject({ phase: 'end', reason: 'left-behind' });
    expect((error as Error).message).toMatch(/is complete, but .*daemon is gone/);
    expect([...fake.checkpoints.keys()]).toEqual(['c3']);
    // It was told once.
    expect(await stuck.abortFor(error)).toBe(error);
    await stuck.abort();
  });
});

describe('abort', () => {
  it('for an error gives it back, and adds what could not be cleaned up', async () => {
    const fake = domain();
    const broken = new BackupJobError('media', 'broken wire', { phase: 'transfer', disk: 'vda' });
    const clean = await start(fake);
    expect(await clean.abortFor(broken)).toBe(broken);
    await using dirty = await start(fake);
    fake.failures.set('abortJob', new Error('daemon is gone'));
    expect(await dirty.abortFor(broken)).toMatchObject({
      message: expect.stringMatching(/^broken wire; cleaning up failed too: daemon is gone$/) as string,
      ...{ phase: 'transfer', disk: 'vda', reason: 'media', cause: broken },
    });
    // It was told once: leaving the block does not say it again.
  });

  it('reaches every call of the planning, and is told at once', async () => {
    for (const call of ['describe', 'runningJob', 'checkpointNames', 'checkpoint', 'imageBitmaps'] as const) {
      const fake = domain();
      fake.addCheckpoint('c1', 'vda');
      const waiting = ((...args: { signal?: AbortSignal }[]) => waitFor(args.at(-1)?.signal)) as never;
      fake[call] = waiting;
      const signal = AbortSignal.timeout(10);
      expect(await failure(start(fake, { incremental: 'c1', signal })), call).toBe(signal.reason);
      expect(fake.calls, call).toEqual([]);
    }
  });

  it('is told at once where the job does not end: that goes on, for as long as it may', async () => {
    const fake = domain();
    const abort = new AbortController();
    await using backup = await start(fake, { signal: abort.signal });
    fake.abortJob = () => never;
    const reason = new Error('enough');
    abort.abort(reason);
    const begun = performance.now();
    const error = await backup.abortFor(reason);
    expect(performance.now() - begun).toBeLessThan(300);
    expect(error).toMatchObject({ reason: 'aborted', cause: reason });
    expect((error as Error).message).toMatch(/^enough; .* still being ended$/);
  });

  it('is told at once while a disk is being connected to', async () => {
    const fake = domain();
    const signal = AbortSignal.timeout(20);
    const open: OpenExport = (_address, options) => waitFor(options.signal);
    expect(await failure(start(fake, { signal }, open))).toBe(signal.reason);
    expect(fake.job).toBeUndefined();
    expect(fake.checkpoints.size).toBe(0);
  });

  it('is told at once while a disk is being read', async () => {
    const fake = domain();
    fake.wrapSource = (source) => ({
      ...source,
      read: (_offset, _length, options) => waitFor(options?.signal),
    });
    const signal = AbortSignal.timeout(20);
    await using backup = await start(fake, { signal });
    expect(await failure(readAll(backup))).toBe(signal.reason);
  });
});

describe('what a failure of the transfer means', () => {
  async function failing(error: Error, change?: (fake: FakeHypervisor) => void): Promise<BackupJobError> {
    const fake = domain();
    fake.wrapSource = (source): BlockSource => ({
      ...source,
      read: () => {
        change?.(fake);
        return Promise.reject(error);
      },
    });
    await using backup = await start(fake);
    return (await failure(readAll(backup))) as BackupJobError;
  }

  it('is that the job is gone, where the hypervisor has none any more', async () => {
    const cut = new SourceError('closed', 'write EPIPE');
    const error = await failing(cut, (fake) => (fake.job = undefined));
    expect(error).toMatchObject({ reason: 'job-gone', phase: 'transfer', disk: 'vda', cause: cut });
    expect(error.message).toBe(
      'reading disk vda failed: the job is gone: the guest was stopped, or somebody ended the job (write EPIPE)',
    );
  });

  it('is else what the source says', async () => {
    expect(await failing(new SourceError('closed', 'reset'))).toMatchObject({ reason: 'connection-lost' });
    expect(await failing(new SourceError('media', 'EIO'))).toMatchObject({ reason: 'media' });
    expect(await failing(new SourceError('timeout', 'silence'))).toMatchObject({ reason: 'timeout' });
    expect(await failing(new Error('what?'))).toMatchObject({ reason: 'failed' });
  });
});

describe('diagnostics', () => {
  it('tell each state of a job, and when the reading of a disk began and ended', async () => {
    const fake = domain();
    const told: string[] = [];
    const onJob = (message: unknown): number => told.push((message as JobMessage).state);
    const onDisk = (message: unknown): void => {
      const { disk, event, readBytes } = message as DiskMessage;
      told.push(`${disk} ${event} ${readBytes}`);
    };
    subscribe('libvirt-ts-backup:job', onJob);
    subscribe('libvirt-ts-backup:disk', onDisk);
    try {
      const backup = await start(fake);
      await readAll(backup);
      await backup.complete();
    } finally {
      unsubscribe('libvirt-ts-backup:job', onJob);
      unsubscribe('libvirt-ts-backup:disk', onDisk);
    }
    expect(told).toEqual([
      'planned',
      'begun',
      'transferring',
      'vda start 0',
      `vda end ${4 * CLUSTER}`,
      'committed',
      'ended',
    ]);
    await delay(0);
  });

  it('the record survives JSON', async () => {
    await using backup = await start(domain(), { checkpoint: 'c1', name: 'n' });
    expect(JSON.parse(JSON.stringify(backup.record))).toEqual(backup.record);
    expect(backup.record).toMatchObject({ state: 'transferring', name: 'n', checkpoint: 'c1' });
  });
});
