import { BackupRepository, type BackupResult } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import { type Command, defineCommand } from '../command-line/command.ts';
import { choice, count, flag, list, required, text } from '../command-line/option.ts';
import { remark } from '../output.ts';
import { formatTable } from '../table.ts';
import { auditOption, creationOptions, encryptionOf, keyOptions, readKey } from './repository-options.ts';
import { describePoint, modeOf } from './describe-point.ts';
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
    audit: auditOption,
    ...keyOptions,
    ...creationOptions,
    'idle-timeout': count('SECONDS', 60, 'gives up when QEMU owes bytes and sends none for so long'),
    json: jsonOption('the result as one line of JSON'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Backs a running domain up into a repository. If it fails or is interrupted, the domain and its points are as before, and the next incremental starts where this one would have.',
  ],
  async run({ connect: uri, domain, uuid, to, json, ...values }, { output, signal, startProgress }) {
    requireDomain({ domain, uuid });
    const encryption = encryptionOf(await readKey(values), values.recipient);
    const started = performance.now();
    await using libvirt = await connect(uri, { signal });
    const handle = await lookUpDomain(libvirt, { domain, uuid }, signal);
    const idleTimeoutMs = values['idle-timeout'] * 1000;
    const { compression } = values;
    await using repository = await BackupRepository.open(to, { encryption, compression, signal });
    const progress = await startProgress();
    let result: BackupResult;
    try {
      result = await repository.backup(handle, {
        mode: values.mode,
        scratchDir: values.scratch,
        disks: values.disk,
        audit: values.audit,
        idleTimeoutMs,
        signal,
        onProgress: ({ disk, done, total }) => {
          progress.update(disk ?? '', done, total);
        },
      });
    } finally {
      progress.stop();
    }
    const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
    for (const { message } of result.remarks) remark(`note: ${message}`);
    await output.line(json ? JSON.stringify(describe(result, seconds)) : report(result, seconds));
  },
});

function describe({ point, remarks, ...counts }: BackupResult, seconds: number): object {
  const notes = remarks.map(({ reason, message, disk }) => ({ reason, message, disk }));
  return { ...describePoint(point), ...counts, remarks: notes, seconds };
}

function report({ point, ...counts }: BackupResult, seconds: number): string {
  const disks = point.disks.map(({ name, reading, size, storedBytes, zeroBytes }) => [
    `  ${name}`,
    reading.mode,
    `${size} bytes`,
    `${storedBytes} stored`,
    `${zeroBytes} zero`,
  ]);
  const reasons = point.disks.flatMap(({ reading }) =>
    reading.mode === 'full' ? [`  ${reading.message}`] : [],
  );
  const excluded = point.excluded.map(({ name, message }) => [`  ${name}`, 'excluded', message]);
  const { readBytes, storedBytes, reusedBytes, zeroBytes } = counts;
  return [
    `${modeOf(point)} backup of ${point.domain.name}: point ${point.id}`,
    formatTable([...disks, ...excluded]),
    ...reasons,
    `${readBytes} bytes read, ${storedBytes} stored, ${reusedBytes} there before, ${zeroBytes} zero, in ${seconds} s`,
  ].join('\n');
}
