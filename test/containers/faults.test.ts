import { randomFillSync } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, NbdConnectError, NbdConnectionClosedError } from 'nbd-ts-client';
import { example } from '../e2e/commands.ts';
import { assertSameContent, type RunResult, waitUntil } from '../harness/index.ts';
import { type ContainerBench, openBench } from './bench.ts';
import { requireContainers } from './engine.ts';
import type { NbdContainer } from './nbd-container.ts';

const containers = await requireContainers('qemu-nbd', 'qemu-storage-daemon');
const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
/** Four seconds for the disk: long enough to do something to a copy under way. */
const BYTES_PER_SECOND = 16 * MIB;

describe.skipIf(containers.skip)(containers.title('containers that fail'), () => {
  let bench: ContainerBench;
  let copies = 0;

  beforeAll(async () => {
    bench = await openBench(containers.engine);
    writeFileSync(bench.path('disk.raw'), randomFillSync(Buffer.alloc(SIZE)), { mode: 0o644 });
  });

  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
  });

  const startSlowServer = (): Promise<NbdContainer> =>
    bench.startQemuNbd(
      '--object',
      `throttle-group,id=slow,x-bps-read=${BYTES_PER_SECOND}`,
      '--image-opts',
      'driver=throttle,throttle-group=slow,file.driver=raw,file.file.driver=file,file.file.filename=/disks/disk.raw',
    );

  /** Starts copy-disk and resolves once it has written something and is not through. */
  const startCopy = async (uri: string, ...args: readonly string[]): Promise<Copy> => {
    const name = `copy-${++copies}.raw`;
    const files = (): string[] => readdirSync(bench.folder.path).filter((file) => file.includes(name));
    const result = example('copy-disk', [uri, bench.path(name), ...args]);
    const state = { ended: false };
    const end = (): void => {
      state.ended = true;
    };
    void result.then(end, end);
    const bytes = (): number => files().reduce((sum, file) => sum + allocated(bench.path(file)), 0);
    await waitUntil(() => state.ended || bytes() > 0, 30_000, 'the first bytes of the copy');
    if (state.ended)
      throw new Error(`the copy ended before anything happened to it: ${(await result).stderr}`);
    return { result, files, path: bench.path(name) };
  };

  const expectFailure = async ({ result, files }: Copy, sentence: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await result;
    expect(stderr).toMatch(sentence);
    expect([code, stdout, stderr.trim().split('\n').length]).toEqual([1, '', 1]);
    expect(files()).toEqual([]);
  };

  const expectSuccess = async ({ result, path }: Copy): Promise<void> => {
    const { code, stderr } = await result;
    expect([code, stderr]).toEqual([0, '']);
    await assertSameContent(path, bench.path('disk.raw'));
  };

  it('killed in mid-copy: the copy fails at once, another one beside it does not notice', async () => {
    await using doomed = await startSlowServer();
    await using other = await startSlowServer();
    const [failing, going] = await Promise.all([startCopy(doomed.uri()), startCopy(other.uri())]);
    await doomed.kill();
    await expectFailure(failing, /^copy-disk: .*closed/);
    await expectSuccess(going);
  });

  it('paused in mid-copy: the idle timeout ends it, and the server serves again after the pause', async () => {
    await using server = await startSlowServer();
    const copy = await startCopy(server.uri(), '--idle-timeout', '2');
    await server.pause();
    await expectFailure(copy, /^copy-disk: .*no byte from the NBD server for 2000 ms/);
    await server.unpause();
    await expectSuccess(await startCopy(server.uri()));
  });

  it('paused for less than the timeout: the copy goes on', async () => {
    await using server = await startSlowServer();
    const copy = await startCopy(server.uri(), '--idle-timeout', '30');
    await server.pause();
    await sleep(2000);
    expect(copy.files()[0]).toMatch(/partial$/);
    await server.unpause();
    await expectSuccess(copy);
  });

  it('paused while the client alone reads and dials: both are given up in time', async () => {
    await using server = await startSlowServer();
    const nbd = await connect(server.uri(), { idleTimeoutMs: 1000 });
    await server.pause();
    await expect(nbd.read(0, MIB)).rejects.toThrow(/no byte from the NBD server for 1000 ms/);
    await nbd.closed;
    await expect(connect(server.uri(), { connectTimeoutMs: 1000 })).rejects.toThrow(/within 1000 ms/);
    await server.unpause();
    await using again = await connect(server.uri());
    expect((await again.read(0, MIB)).length).toBe(MIB);
  });

  it('cut off its network in mid-copy: the port of this machine hangs up', async () => {
    await using server = await startSlowServer();
    const copy = await startCopy(server.uri());
    await server.disconnect();
    await expectFailure(copy, /^copy-disk: .*closed/);
  });

  it('cut off its network in mid-copy with nobody to hang up: the idle timeout ends it', async () => {
    await using server = await startSlowServer();
    const copy = await startCopy(server.directUri(), '--idle-timeout', '2');
    await server.disconnect();
    await expectFailure(copy, /^copy-disk: .*no byte from the NBD server for 2000 ms/);
  });

  it('killed while the client alone reads: every read under way is rejected', async () => {
    await using server = await startSlowServer();
    const nbd = await connect(server.uri());
    const reads = Array.from({ length: 40 }, (_, index) => nbd.read(index * MIB, MIB));
    const outcomes = Promise.allSettled(reads);
    await reads[0];
    await server.kill();
    const rejected = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    expect(rejected.length).toBeGreaterThan(0);
    for (const { reason } of rejected) expect(reason).toBeInstanceOf(NbdConnectionClosedError);
    await expect(connect(server.uri())).rejects.toThrow(NbdConnectError);
  });
});

/** Bytes of a file that are on disk; 0 if it has just got another name. */
function allocated(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
}

interface Copy {
  readonly result: Promise<RunResult>;
  readonly path: string;
  /** What lies in the folder of this copy, partial or whole. */
  readonly files: () => string[];
}
