import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BackupJobError } from '../../words/errors.ts';
import { CLUSTER, FakeHypervisor } from '../../fake-hypervisor.fixture.ts';
import { runPullBackup } from './pull-backup.ts';

function domain(): FakeHypervisor {
  const fake = new FakeHypervisor();
  fake.addDisk('vda', Buffer.alloc(4 * CLUSTER, 1));
  return fake;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error,
  );
}

describe('runPullBackup', () => {
  it('names owner and mode of a socket that may not be opened', async () => {
    const scratchDir = await mkdtemp(join(tmpdir(), 'job-'));
    const fake = domain();
    const socket = join(scratchDir, 'n.sock');
    await writeFile(socket, '', { mode: 0o640 });
    const denied = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
    const open = (): Promise<never> => Promise.reject(new Error('cannot connect', { cause: denied }));
    const error = await failure(runPullBackup(fake, open, { scratchDir, name: 'n' }));
    expect(error).toBeInstanceOf(BackupJobError);
    expect(error).toMatchObject({ phase: 'connect', disk: 'vda', cleanupErrors: [] });
    const owner = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
    expect((error as Error).message).toContain(`n.sock (owner ${owner}, mode 0640)`);
    expect(fake.job).toBeUndefined();
    expect(fake.checkpoints.size).toBe(0);
    await rm(scratchDir, { recursive: true });
  });

  it('says what could not be cleaned up', async () => {
    const fake = domain();
    fake.failures.set('openExport', new Error('no server'));
    fake.failures.set('deleteCheckpoint', new Error('daemon is gone'));
    const error = await failure(runPullBackup(fake, fake.openExport, {}));
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
    expect(await failure(runPullBackup(fake, fake.openExport, { signal: abort.signal }))).toBe(
      abort.signal.reason,
    );
    expect(fake.calls).toEqual(['beginBackup', 'abortJob', 'deleteCheckpoint']);
  });

  it('never ends a job that is not its own', async () => {
    const fake = domain();
    fake.beginBackup = (): Promise<void> => {
      fake.job = { xml: `<domainbackup><server socket='/theirs'/></domainbackup>`, exports: new Map() };
      return Promise.reject(new Error('cannot acquire state change lock'));
    };
    expect(await failure(runPullBackup(fake, fake.openExport, {}))).toMatchObject({ phase: 'begin' });
    expect(fake.job).toBeDefined();
    expect(fake.calls).toEqual(['deleteCheckpoint']);
  });

  it('complete keeps the checkpoint and is final; abort after it does nothing', async () => {
    const fake = domain();
    const backup = await runPullBackup(fake, fake.openExport, { checkpoint: 'c1' });
    await backup.complete();
    await backup.abort();
    await backup[Symbol.asyncDispose]();
    expect([...fake.checkpoints.keys()]).toEqual(['c1']);
    expect(fake.calls).toEqual(['beginBackup', 'openExport', 'abortJob']);
  });

  it('an abort for an error gives it back, and adds what could not be cleaned up', async () => {
    const fake = domain();
    const broken = new BackupJobError('failed', 'broken wire', { phase: 'transfer', disk: 'vda' });
    const clean = await runPullBackup(fake, fake.openExport, {});
    expect(await clean.abortFor(broken)).toBe(broken);
    await using dirty = await runPullBackup(fake, fake.openExport, {});
    fake.failures.set('abortJob', new Error('daemon is gone'));
    expect(await dirty.abortFor(broken)).toMatchObject({
      message: expect.stringMatching(/^broken wire; cleaning up failed too: daemon is gone$/) as string,
      phase: 'transfer',
      disk: 'vda',
      cause: broken,
    });
    // It was told once: leaving the block does not say it again.
  });

  it('a complete that fails is told once', async () => {
    const fake = domain();
    await using backup = await runPullBackup(fake, fake.openExport, {});
    fake.failures.set('abortJob', new Error('daemon is gone'));
    const error = await failure(backup.complete());
    expect(error).toMatchObject({ phase: 'end', message: expect.stringMatching(/daemon is gone/) as string });
    expect(await backup.abortFor(error)).toBe(error);
  });

  it('complete fails after abort, and when the checkpoint has vanished', async () => {
    const fake = domain();
    const given = await runPullBackup(fake, fake.openExport, {});
    await given.abort();
    expect(await failure(given.complete())).toMatchObject({ phase: 'end' });
    const lost = await runPullBackup(fake, fake.openExport, { checkpoint: 'c2' });
    fake.checkpoints.clear();
    expect(await failure(lost.complete())).toMatchObject({
      phase: 'end',
      message: expect.stringMatching(/c2 has vanished/) as string,
    });
  });
});
