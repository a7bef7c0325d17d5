import { BackupRepository, type BackupResult, openNbdExport } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import { type Command, defineCommand } from '../command-line/command.ts';
import { choice, count, flag, list, required, text } from '../command-line/option.ts';
import { formatTable } from '../table.ts';
import { describePoint } from './describe-point.ts';
import { domainOptions, lookUpDomain, requireDomain } from './domain-options.ts';
import { jsonOption } from './json-option.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    connect: text('URI', 'libvirt, such as qemu:///system; default LIBVIRT_DEFAULT_URI'),
    ...domainOptions,
    to: required(
      'DIR',
      'the repository; a folder that is empty or not there becomes one, also if the backup then fails',
    ),
    mode: choice(
      ['auto', 'full', 'incremental'],
      'auto',
      'incremental: only what changed since the newest point, or an error; full: everything; auto, the default: incremental where that is possible',
    ),
    scratch: text(
      'DIR',
      "an absolute path on the hypervisor: a folder writable by QEMU's user, for scratch files and the socket; default: scratch files beside each image, the socket in /var/tmp",
    ),
    disk: list('vda,vdb', 'only these disks, by their targets'),
    'idle-timeout': count('SECONDS', 60, 'gives up when QEMU owes bytes and sends none for so long'),
    json: jsonOption('the result as one line of JSON'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Backs a running domain up into a repository. If it fails or is interrupted, the domain and the repository are as before, and the next incremental is taken from the same parent.',
  ],
  async run({ connect: uri, domain, uuid, to, json, ...values }, { output, signal, startProgress }) {
    requireDomain({ domain, uuid });
    const started = performance.now();
    await using libvirt = await connect(uri, { signal });
    const handle = await lookUpDomain(libvirt, { domain, uuid }, signal);
    const idleTimeoutMs = values['idle-timeout'] * 1000;
    const repository = await BackupRepository.open(to, {
      openExport: (address, options) => openNbdExport(address, { ...options, idleTimeoutMs }),
    });
    const progress = await startProgress();
    let result: BackupResult;
    try {
      result = await repository.backup(handle, {
        mode: values.mode,
        signal,
        ...(values.scratch !== undefined && { scratchDir: values.scratch }),
        ...(values.disk && { disks: values.disk }),
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
    await output.line(json ? JSON.stringify(describe(result, seconds)) : report(result, seconds));
  },
});

function describe({ point, readBytes, dirtyBytes }: BackupResult, seconds: number): object {
  return { ...describePoint(point), readBytes, dirtyBytes, seconds };
}

function report({ point, readBytes }: BackupResult, seconds: number): string {
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
