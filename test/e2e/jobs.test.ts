import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BackupJobError,
  type Chunk,
  type JobSpec,
  LibvirtDomain,
  type PullBackup,
  startPullBackup,
} from 'libvirt-ts-backup';
import { connect, type Connection, type Domain, virDomainCheckpointDeleteFlags } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  defineDomain,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const MIB = 1024 * 1024;
/** Within so many milliseconds an abort is told. */
const AT_ONCE_MS = 300;
const VIR_DOMAIN_START_PAUSED = 1;
const { VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY: METADATA_ONLY } = virDomainCheckpointDeleteFlags;

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error,
  );
}

async function readAll(
  backup: PullBackup,
  onChunk: (chunk: Chunk) => unknown = () => undefined,
): Promise<void> {
  for (const disk of backup.disks) for await (const chunk of disk.chunks()) await onChunk(chunk);
}

describe.skipIf(servers.skip)(servers.title('pull jobs'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let stopped: number[] = [];
  let count = 0;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
  });

  beforeEach(async () => {
    const disks = [{ size: 64 * MIB }, { size: 16 * MIB }];
    domain = await defineDomain(libvirt, libvirtd, { name: `j${++count}`, disks });
    await domain.write(0, 'write -P 0x11 0 32M');
  });

  afterEach(async () => {
    goOn();
    await domain.remove();
  });

  /** Stops a process that the test started, until the test goes on or is over. */
  function stop(pid: number): void {
    stopped.push(pid);
    process.kill(pid, 'SIGSTOP');
  }

  function goOn(): void {
    for (const pid of stopped) process.kill(pid, 'SIGCONT');
    stopped = [];
  }

  function qemu(): number {
    const [pid, other] = libvirtd.offspring();
    if (pid === undefined || other !== undefined) throw new Error('not one QEMU');
    return pid;
  }

  const scratchDir = (): { scratchDir: string } => ({ scratchDir: libvirtd.scratchDir });

  const checkpoints = async (): Promise<string[]> =>
    (await domain.handle.listAllCheckpoints()).map(({ name }) => name);

  async function expectNothingLeft(): Promise<void> {
    await expect.poll(() => new LibvirtDomain(domain.handle).runningJob(), { timeout: 10_000 }).toBe(null);
    await expect.poll(checkpoints, { timeout: 10_000 }).toEqual([]);
    await expect.poll(() => readdirSync(libvirtd.scratchDir), { timeout: 10_000 }).toEqual([]);
  }

  /** Aborts in 50 ms. @returns what came of it, in how many milliseconds from then */
  async function aborted(run: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
    const abort = new AbortController();
    const reason = new Error('enough');
    let at = Infinity;
    const timer = setTimeout(() => {
      at = performance.now();
      abort.abort(reason);
    }, 50);
    const error = await failure(run(abort.signal));
    expect(performance.now() - at).toBeLessThan(AT_ONCE_MS);
    expect(performance.now()).toBeGreaterThan(at);
    clearTimeout(timer);
    expect(error === reason || (error as Error).cause === reason, String(error)).toBe(true);
    return error;
  }

  it('give up planning at once, with a libvirtd that answers nothing', async () => {
    stop(libvirtd.pid);
    await aborted((signal) => startPullBackup(domain.handle, { ...scratchDir(), signal }));
    goOn();
    await expectNothingLeft();
  });

  it('give up connecting at once, with a QEMU that stopped in the handshake, and clean up later', async () => {
    const abort = new AbortController();
    let at = Infinity;
    class Stopping extends LibvirtDomain {
      override async beginBackup(job: JobSpec): Promise<void> {
        await super.beginBackup(job);
        stop(qemu());
        setTimeout(() => {
          at = performance.now();
          abort.abort(new Error('enough'));
        }, 50);
      }
    }
    const { signal } = abort;
    const begun = new Stopping(domain.handle);
    const error = await failure(startPullBackup(begun, { ...scratchDir(), signal }));
    expect(performance.now() - at).toBeLessThan(AT_ONCE_MS);
    expect(error).toMatchObject({ reason: 'aborted', cause: signal.reason as Error });
    expect((error as Error).message).toMatch(/still being ended/);
    goOn();
    await expectNothingLeft();
  });

  it('give up reading at once, with a QEMU that is stopped, and clean up later', async () => {
    const abort = new AbortController();
    const backup = await startPullBackup(domain.handle, { ...scratchDir(), signal: abort.signal });
    stop(qemu());
    const reason = new Error('enough');
    const reading = failure(readAll(backup));
    await delay(50);
    const at = performance.now();
    abort.abort(reason);
    expect(await reading).toBe(reason);
    expect(performance.now() - at).toBeLessThan(AT_ONCE_MS);
    expect(await backup.abortFor(reason)).toMatchObject({ reason: 'aborted', cause: reason });
    expect(performance.now() - at).toBeLessThan(2 * AT_ONCE_MS);
    goOn();
    await expectNothingLeft();
  });

  it('wait for a silent server as long as they are told to', async () => {
    const backup = await startPullBackup(domain.handle, { ...scratchDir(), idleTimeoutMs: 300 });
    stop(qemu());
    const at = performance.now();
    const error = await failure(readAll(backup));
    expect(performance.now() - at).toBeLessThan(2000);
    expect(error).toMatchObject({ reason: 'timeout', phase: 'transfer', disk: 'vda' });
    goOn();
    await backup.abort();
    await expectNothingLeft();
  });

  it('say that the job is gone, where the guest was destroyed or somebody ended the job', async () => {
    for (const end of [() => domain.handle.abortJob(), () => domain.handle.destroy()]) {
      await using backup = await startPullBackup(domain.handle, scratchDir());
      let ended: Promise<number> | undefined;
      const options = { requestBytes: 64 * 1024, inFlight: 1 };
      const error = await failure(
        (async () => {
          for (const disk of backup.disks)
            for await (const { offset } of disk.chunks(options))
              await (ended ??= end().then(() => delay(200, offset)));
        })(),
      );
      expect(error).toBeInstanceOf(BackupJobError);
      expect(error).toMatchObject({ reason: 'job-gone', phase: 'transfer', disk: 'vda' });
      expect((error as Error).message).toMatch(/the guest was stopped, or somebody ended the job \(.+\)$/);
    }
    await expectNothingLeft();
  });

  it('are complete when everything was read, or when it is said that this is meant', async () => {
    await using backup = await startPullBackup(domain.handle, { ...scratchDir(), checkpoint: 'c1' });
    for await (const { type } of backup.disks[0]?.chunks() ?? []) expect(type).toMatch(/data|zero/);
    expect(await failure(backup.complete())).toMatchObject({
      reason: 'incomplete',
      message: expect.stringMatching(/vdb not read/) as string,
    });
    await backup.abort();
    expect(await failure(backup.complete({ unread: 'accept' }))).toMatchObject({ reason: 'aborted' });
    await expectNothingLeft();
    await using other = await startPullBackup(domain.handle, { ...scratchDir(), checkpoint: 'c1' });
    await other.complete({ unread: 'accept' });
    expect(await checkpoints()).toEqual(['c1']);
  });

  it('tell data that is safe from a job that could not be ended', async () => {
    const backup = await startPullBackup(domain.handle, { ...scratchDir(), checkpoint: 'c1' });
    await readAll(backup);
    await libvirtd.kill('SIGKILL');
    const error = await failure(backup.complete());
    await libvirtd.restart();
    libvirt = await connect(libvirtd.uri);
    await domain.reconnect(libvirt);
    expect(error).toMatchObject({ reason: 'left-behind', phase: 'end' });
    expect((error as BackupJobError).cleanupErrors[0]).toMatchObject({ reason: 'connection-lost' });
    expect(backup.record).toMatchObject({ state: 'ended', outcome: 'completed' });
    expect(await checkpoints()).toEqual(['c1']);
    await domain.handle.abortJob();
  });

  it('have scratch files of their own for images whose names are long and alike', async () => {
    const xml = await domain.handle.getXmlDesc({ flags: 2 });
    await domain.handle.destroy();
    let changed = xml;
    for (const [index, { path }] of domain.disks.entries()) {
      const renamed = join(libvirtd.imagesDir, `${'x'.repeat(230)}${index}.qcow2`);
      renameSync(path, renamed);
      changed = changed.replace(path, renamed);
    }
    await libvirt.domainDefineXml(changed);
    await domain.handle.create({ flags: VIR_DOMAIN_START_PAUSED });
    await using backup = await startPullBackup(domain.handle);
    expect(backup.disks.length).toBe(2);
    await readAll(backup);
    const files = readdirSync(libvirtd.imagesDir).filter((name) => name.endsWith('.scratch'));
    expect(files.sort()).toEqual([`${backup.name}.vda.scratch`, `${backup.name}.vdb.scratch`]);
    await backup.abort();
    expect(readdirSync(libvirtd.imagesDir).filter((name) => name.endsWith('.scratch'))).toEqual([]);
  });

  it('leave bitmaps that are found, redefined and removed', async () => {
    const handle = new LibvirtDomain(domain.handle);
    await using backup = await startPullBackup(domain.handle, { ...scratchDir(), checkpoint: 'c1' });
    await backup.complete({ unread: 'accept' });
    await domain.write(0, 'write -P 0x22 0 128k');
    const images = domain.disks.map(({ path }) => path);
    const found = [...(await handle.imageBitmaps())].sort((a, b) => (a.image < b.image ? -1 : 1));
    expect(found.map(({ image, name, dirtyBytes }) => [image, name, dirtyBytes])).toEqual([
      [images[0], 'c1', 128 * 1024],
      [images[1], 'c1', 0],
    ]);
    expect(found[0]).toMatchObject({ imageSize: 64 * MIB, isRecording: true, isInconsistent: false });
    const facts = await handle.checkpoint('c1');
    if (facts === null) throw new Error('no checkpoint');
    await (await domain.handle.checkpointLookupByName('c1')).delete({ flags: METADATA_ONLY });
    expect(await handle.checkpoint('c1')).toBe(null);
    const { disks } = await handle.describe();
    const redefined = disks.map(({ name }) => ({ name, bitmap: 'c1' }));
    await handle.redefineCheckpoint({ name: 'c1', creationTime: facts.creationTime, disks: redefined });
    expect(await handle.checkpoint('c1')).toEqual(facts);
    const wrong = redefined.map((disk) => ({ ...disk, bitmap: 'none' }));
    const refused = failure(handle.redefineCheckpoint({ name: 'c2', creationTime: 1, disks: wrong }));
    expect(await refused).toMatchObject({ code: 'ERR_BACKUP_HYPERVISOR', reason: 'bitmap' });
    // One disk's bitmap goes behind libvirt's back: the other's does not stay.
    await handle.removeBitmap({ node: found[0]?.node ?? '', name: 'c1' });
    await handle.removeBitmap({ node: found[0]?.node ?? '', name: 'c1' });
    await handle.deleteCheckpoint('c1');
    expect([await handle.checkpointNames(), await handle.imageBitmaps()]).toEqual([[], []]);
  });

  it('are planned on facts: images that back each other, sizes, versions, and what is off', async () => {
    const handle = new LibvirtDomain(domain.handle);
    const base = domain.disks[0]?.path ?? '';
    const overlay = join(libvirtd.imagesDir, `${domain.name}-overlay.qcow2`);
    await domain.handle.snapshotCreateXml(
      `<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='${overlay}'/></disk>
       <disk name='vdb' snapshot='no'/></disks></domainsnapshot>`,
      { flags: 16 | 4 }, // DISK_ONLY, NO_METADATA
    );
    const running = await handle.describe();
    expect(running).toMatchObject({ isActive: true, isPersistent: true });
    expect(running.disks).toMatchObject([
      { name: 'vda', chain: [overlay, base], size: 64 * MIB, format: 'qcow2', isEncrypted: false },
      { name: 'vdb', size: 16 * MIB },
    ]);
    expect(running.versions.libvirt).toMatch(/^\d+\.\d+\.\d+$/);
    expect(running.versions.hypervisor).toMatch(/^\d+\.\d+\.\d+$/);
    expect(running.definition.inactive).toContain('<domain');
    await domain.handle.destroy();
    expect(await handle.describe()).toMatchObject({ isActive: false });
    expect([await handle.imageBitmaps(), await handle.runningJob()]).toEqual([[], null]);
    expect(await failure(startPullBackup(domain.handle))).toMatchObject({
      code: 'ERR_BACKUP_PLAN',
      reason: 'domain-off',
    });
  });
});
