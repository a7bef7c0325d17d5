import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectLibvirt, type Connection, type Domain } from 'libvirt-ts-rpc';
import {
  connect,
  connectPool,
  listExports,
  NbdConnectError,
  NbdConnectionClosedError,
  NbdNegotiationError,
  type NbdPool,
} from 'nbd-ts-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  defineDomain,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';
import {
  ALLOCATION,
  collect,
  expectBytes,
  expectFacts,
  expectMaps,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'nbdinfo');
const DIRTY = 'qemu:dirty-bitmap:backup-vda';

describe.skipIf(servers.skip)(servers.title('the server of a pull job'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let guest: TestDomain<Domain>;
  let uri: string;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connectLibvirt(libvirtd.uri);
    guest = await defineDomain(libvirt, libvirtd, {
      name: 'pull',
      disks: [{ size: 64 * MIB, fill: [{ pattern: 0x11, offset: 0, length: 48 * MIB }] }],
    });
    uri = `nbd+unix:///vda?socket=${join(libvirtd.scratchDir, 'b.sock')}`;
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  /** Begins a job; what it shows is the disk as it is now. */
  const begin = async (checkpoint: string, parent?: string): Promise<Buffer> => {
    const truth = readFileSync(await guest.truth(0));
    const incremental = parent === undefined ? '' : `<incremental>${parent}</incremental>`;
    const scratch = join(libvirtd.scratchDir, 'vda.scratch');
    await guest.handle.backupBegin(
      `<domainbackup mode='pull'>${incremental}
        <server transport='unix' socket='${join(libvirtd.scratchDir, 'b.sock')}'/>
        <disks><disk name='vda' type='file'><scratch file='${scratch}'/></disk></disks>
      </domainbackup>`,
      `<domaincheckpoint><name>${checkpoint}</name></domaincheckpoint>`,
    );
    return truth;
  };

  /** Aborts the job and waits until libvirt says that it is over. */
  const abort = async (): Promise<void> => {
    await using jobs = libvirt.domainEvents('jobCompleted', { domain: guest.handle });
    await jobs.ready;
    await guest.handle.abortJob();
    await jobs.next();
  };

  // A test that fails before its end must not keep the others from beginning.
  afterEach(async () => {
    if ((await guest.handle.getJobInfo()).type !== 0) await abort();
  });

  it('full: the disk as it was, whatever is written meanwhile; no bitmap', async () => {
    const truth = await begin('c1');
    await guest.write(0, 'write -P 0x99 1M 1M', 'write -P 0x99 60M 64k');
    expect((await listExports(uri)).map(({ name }) => name)).toEqual(['vda']);
    await expectFacts(uri);
    {
      await using pool = await connectPool(uri, { connections: 3, metaContexts: [ALLOCATION, DIRTY] });
      expect(pool.connections).toHaveLength(3);
      expect(pool.metaContexts).toEqual([ALLOCATION]);
      expect(pool.isReadOnly).toBe(true);
      await expectBytes(pool, truth);
      const [first] = pool.connections;
      if (first !== undefined) await expectMaps(uri, first);
    }
    const unknown = await rejection(connect(uri.replace('/vda?', '/vdb?')));
    expect(unknown).toBeInstanceOf(NbdNegotiationError);
    await abort();
    const gone = await rejection(connect(uri));
    expect(gone).toBeInstanceOf(NbdConnectError);
    expect(gone.message).toMatch(/ENOENT|ECONNREFUSED/);
  });

  it('incremental: the dirty bitmap names what was written, zeroed and discarded since', async () => {
    await guest.write(
      0,
      'write -P 0x22 3M 128k',
      'write -z 20M 256k',
      'discard 30M 1M',
      'write -P 0x33 63M 1M',
    );
    const truth = await begin('c2', 'c1');
    await guest.write(0, 'write -P 0x99 40M 1M');
    await expectFacts(uri);
    {
      await using nbd = await connect(uri, { metaContexts: [ALLOCATION, DIRTY] });
      expect([...nbd.metaContexts].sort()).toEqual([ALLOCATION, DIRTY]);
      await expectMaps(uri, nbd);
      const dirty = (await collect(nbd.extents(DIRTY))).filter(({ flags }) => flags === 1);
      // Since c1 began: what the test before wrote while that job ran, and what was written now.
      expect(dirty.map(({ offset, length }) => [offset, length])).toEqual([
        [MIB, MIB],
        [3 * MIB, 128 * KIB],
        [20 * MIB, 256 * KIB],
        [30 * MIB, MIB],
        [60 * MIB, 64 * KIB],
        [63 * MIB, MIB],
      ]);
      for (const { offset, length } of dirty) {
        const bytes = await nbd.read(offset, length);
        expect(bytes.equals(truth.subarray(offset, offset + length)), `at ${offset}`).toBe(true);
      }
      await expectBytes(nbd, truth);
    }
    await abort();
  });

  it('aborted in mid-read: every promise is rejected as closed, nothing hangs, nothing wrong is returned', async () => {
    const truth = await begin('c3');
    await using pool = await connectPool(uri, { connections: 2, metaContexts: [ALLOCATION] });
    let done = 0;
    const readUntilTheEnd = async (worker: number): Promise<never> => {
      for (let turn = worker; ; turn += 8) {
        const offset = (turn * MIB) % (64 * MIB);
        const bytes = await pool.read(offset, MIB, { df: true });
        if (!bytes.equals(truth.subarray(offset, offset + MIB))) throw new Error(`wrong bytes at ${offset}`);
        done += 1;
      }
    };
    const workers = rejections(
      ...Array.from({ length: 8 }, (_, worker) => readUntilTheEnd(worker)),
      streamUntilTheEnd(pool, truth),
      askUntilTheEnd(pool),
    );
    while (done < 16) await pool.read(0, 512);
    const members = pool.connections;
    await abort();
    const before = done;
    const reasons = await workers;
    expect(done).toBe(before);
    for (const reason of reasons) {
      expect(reason).toBeInstanceOf(NbdConnectionClosedError);
      expect(reason.message).toMatch(/the NBD server closed the connection|the NBD connection is closed/);
    }
    expect(members.length).toBeGreaterThan(0);
    for (const { closed } of members) expect((await closed).reason).toMatch(/peer|error/);
    const late = [pool.read(0, 512), pool.blockStatus(0, MIB), pool.flush()];
    for (const reason of await rejections(...late)) expect(reason).toBeInstanceOf(NbdConnectionClosedError);
    expect(await rejection(connect(uri))).toBeInstanceOf(NbdConnectError);
    expect((await guest.handle.getJobInfo()).type).toBe(0);
  });

  it('a read that is given up does not keep the job from its end', async () => {
    const truth = await begin('c4');
    await using nbd = await connect(uri);
    const given = new Error('enough');
    const controller = new AbortController();
    const reads = Array.from({ length: 16 }, (_, index) =>
      nbd.read(index * MIB, MIB, { signal: controller.signal }),
    );
    const outcomes = Promise.allSettled(reads);
    controller.abort(given);
    for (const outcome of await outcomes) expect(outcome).toEqual({ status: 'rejected', reason: given });
    expect((await nbd.read(MIB, MIB)).equals(truth.subarray(MIB, 2 * MIB))).toBe(true);
    expect(await nbd.close()).toEqual({ reason: 'close' });
    await abort();
  });
});

async function streamUntilTheEnd(pool: NbdPool, truth: Buffer): Promise<never> {
  for (;;) {
    let offset = 0;
    for await (const chunk of pool.createReadStream() as AsyncIterable<Buffer>) {
      if (!chunk.equals(truth.subarray(offset, offset + chunk.length)))
        throw new Error(`wrong bytes at ${offset}`);
      offset += chunk.length;
    }
    if (offset !== truth.length) throw new Error(`a stream of ${offset} bytes`);
  }
}

async function askUntilTheEnd(pool: NbdPool): Promise<never> {
  for (;;) {
    let next = 0;
    for await (const { offset, length } of pool.extents(ALLOCATION)) {
      if (offset !== next) throw new Error(`an extent at ${offset}, not at ${next}`);
      next += length;
    }
    if (next !== pool.exportSize) throw new Error(`extents up to ${next}`);
  }
}
