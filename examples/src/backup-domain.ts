import { BackupRepository, type BackupResult } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import { describePoint, formatTable, printLine } from './cli/output.ts';
import { startProgress } from './cli/progress.ts';
import { runCommand } from './cli/run.ts';

const help = `--connect URI --domain NAME --to DIR [--mode auto|full|incremental] [--scratch DIR]
                     [--disk vda,vdb] [--json] [--quiet]

Backs a running domain up into a repository. If it fails or is interrupted, the domain and the repository are
as before, and the next incremental is taken from the same parent.

  --connect URI   libvirt, such as qemu:///system; default LIBVIRT_DEFAULT_URI
  --domain NAME   the domain, by name
  --to DIR        the repository; a folder that is empty or not there becomes one, also if the backup then fails
  --mode MODE     incremental: only what changed since the newest point, or an error; full: everything;
                  auto, the default: incremental where that is possible
  --scratch DIR   an absolute path on the hypervisor: a folder writable by QEMU's user, for scratch files and the socket;
                  default: scratch files beside each image, the socket in /var/tmp
  --disk NAMES    only these disks, by their targets
  --json          the result as one line of JSON
  --quiet         no progress bar`;

await runCommand(
  {
    name: 'backup-domain',
    help,
    positionals: [],
    switches: ['json', 'quiet'],
    settings: ['connect', 'domain', 'to', 'mode', 'scratch', 'disk'],
  },
  async (args, signal) => {
    const name = args.require('domain');
    const to = args.require('to');
    const mode = args.choice('mode', ['auto', 'full', 'incremental'], 'auto');
    const scratchDir = args.get('scratch');
    const disks = args.get('disk')?.split(',');
    const started = performance.now();
    await using libvirt = await connect(args.get('connect'), { signal });
    const domain = await libvirt.lookupDomainByName(name);
    const repository = await BackupRepository.open(to);
    const progress = await startProgress(args.has('quiet') || args.has('json'));
    let result: BackupResult;
    try {
      result = await repository.backup(domain, {
        mode,
        signal,
        ...(scratchDir !== undefined && { scratchDir }),
        ...(disks && { disks }),
        onProgress: ({ disk, offset, size }) => {
          progress.update(disk, offset, size);
        },
      });
    } finally {
      progress.stop();
    }
    const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
    for (const { message } of result.cleanupErrors)
      process.stderr.write(`the checkpoint of the previous point is still there: ${message}\n`);
    await printLine(args.has('json') ? JSON.stringify(describe(result, seconds)) : text(result, seconds));
  },
);

function describe({ point, readBytes, dirtyBytes }: BackupResult, seconds: number): object {
  return { ...describePoint(point), readBytes, dirtyBytes, seconds };
}

function text({ point, readBytes }: BackupResult, seconds: number): string {
  const because = point.reason === undefined ? '' : ` (${point.reason})`;
  const disks = point.disks.map(({ name, mode, size, dataBytes, zeroBytes }) => [
    `  ${name}`,
    mode,
    `${size} bytes`,
    `${dataBytes} stored`,
    `${zeroBytes} zero`,
  ]);
  const excluded = point.excluded.map(({ name, reason }) => [`  ${name}`, 'excluded', reason]);
  return [
    `${point.mode} backup of ${point.domain.name}${because}: point ${point.id}`,
    formatTable([...disks, ...excluded]),
    `${readBytes} bytes read in ${seconds} s`,
  ].join('\n');
}
