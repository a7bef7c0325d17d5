/**
 * The main job on an embedded default: a private libvirtd with a small domain, a full backup, writes, an
 * incremental, and both points restored and compared with the domain's own disk. Leaves nothing behind.
 */
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { BackupRepository, type BackupResult } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import {
  compareFiles,
  defineDomain,
  type DomainHandle,
  leftovers,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';

const MIB = 1024 * 1024;
const DISK_BYTES = 512 * MIB;
const FIRST_WRITES = ['write -P 0x11 0 96M', 'write -P 0x22 200M 32M'];
const SECOND_WRITES = [
  'write -P 0x33 10M 5M',
  'write -z 20M 8M',
  'write -z -u 40M 4M',
  'discard 60M 4M',
  'write -P 0x44 65532k 8k',
];

let step = 0;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function heading(text: string): void {
  say(`\n${++step}. ${text}`);
}

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; seconds: string }> {
  const started = performance.now();
  const value = await work();
  return { value, seconds: `${((performance.now() - started) / 1000).toFixed(2)} s` };
}

function report({ point, dirtyBytes, ...counts }: BackupResult, seconds: string): void {
  const [disk] = point.disks;
  const mode = disk?.reading.mode ?? 'full';
  say(`   point ${point.id}, ${mode}, checkpoint ${point.checkpoint?.name ?? 'none'}`);
  if (mode === 'incremental')
    say(`   ${mib(dirtyBytes)} dirty since the point before, as libvirt counts them`);
  const audited = disk?.auditedBytes ?? 0;
  say(`   ${mib(counts.readBytes)} read over NBD, ${mib(audited)} of them only to check the bitmap`);
  say(`   ${mib(counts.storedBytes)} stored, ${mib(counts.zeroBytes)} known to be zero, ${seconds}`);
}

async function write(domain: TestDomain<DomainHandle>, commands: readonly string[]): Promise<void> {
  for (const command of commands) say(`   ${command}`);
  await domain.write(0, ...commands);
}

async function main(): Promise<boolean> {
  heading('Starting a private, unprivileged libvirtd in a temporary folder');
  await using libvirtd = await startLibvirtd();
  await using libvirt = await connect(libvirtd.uri);
  say(`   ${libvirtd.uri}`);
  heading(`A domain with a disk of ${mib(DISK_BYTES)} and some data on it`);
  await using domain = await defineDomain(libvirt, libvirtd, { name: 'demo', disks: [{ size: DISK_BYTES }] });
  await write(domain, FIRST_WRITES);
  const image = domain.disks[0]?.path ?? '';
  const repository = await BackupRepository.open(join(libvirtd.workDir, 'repository'));
  const truths: string[] = [];
  const backup = async (mode: 'full' | 'incremental'): Promise<void> => {
    truths.push(await domain.truth(0));
    const { blocks } = await stat(image);
    say(`   ${mib(blocks * 512)} on disk`);
    const { value, seconds } = await timed(() =>
      repository.backup(domain.handle, { mode, scratchDir: libvirtd.scratchDir }),
    );
    report(value, seconds);
  };
  heading('A full backup; its checkpoint is created in the same call');
  await backup('full');
  heading('The guest writes data and zeroes, and discards');
  await write(domain, SECOND_WRITES);
  heading('An incremental backup since that checkpoint');
  await backup('incremental');
  heading("Restoring both points and comparing them with the domain's own disk at that moment");
  let identical = true;
  for (const [index, point] of (await repository.points(domain.handle)).entries()) {
    const output = join(libvirtd.workDir, `restored-${index}.raw`);
    const { seconds } = await timed(() => repository.restore(point, 'vda', output));
    const { equal, differingBlocks } = await compareFiles(output, truths[index] ?? '');
    say(
      `   ${point.id}: ${equal ? 'identical, every byte' : `${differingBlocks} blocks differ`}, ${seconds}`,
    );
    identical &&= equal;
  }
  heading('Ending the domain and libvirtd, removing the folder');
  return identical;
}

let interruptedBy: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  // Always: terminals and npm send the same signal more than once.
  process.on(signal, () => (interruptedBy ??= signal));

try {
  const identical = await main();
  const left = leftovers();
  if (left.length > 0) say(`\nFailed: left behind: ${left.join(', ')}`);
  else if (!identical) say('\nFailed: a restored disk is not what it was.');
  else say('\nDone: nothing is left behind.');
  process.exitCode = identical && left.length === 0 ? 0 : 1;
} catch (error) {
  // After a signal the servers are gone at once, and what was waiting for them fails.
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`demo: ${interruptedBy === undefined ? reason : `interrupted by ${interruptedBy}`}\n`);
  process.exitCode = interruptedBy === undefined ? 1 : 128 + constants.signals[interruptedBy];
}
