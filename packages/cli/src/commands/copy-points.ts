import { BackupRepository, copyPoints, type CopyPointsReport } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, list, required, text } from '../command-line/option.ts';
import { jsonOption } from './json-option.ts';
import {
  creationOptions,
  encryptionOf,
  keyOptions,
  privateKeyOption,
  readKey,
  readPrivateKey,
} from './repository-options.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository to read'),
    to: required('DIR', 'the repository to write; a folder that is empty or not there becomes one'),
    point: list('ID,ID', 'only these points'),
    ...keyOptions,
    ...privateKeyOption,
    'to-key-file': text('FILE', 'the key of the repository that is written'),
    ...creationOptions,
    json: jsonOption('{copied, present, damaged}'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Copies points that the other repository does not have, and of them only what it does not have. Each has its own keys and compression. Exits with 1 where a point is damaged and cannot be copied.',
  ],
  async run({ from, to, point, json, ...values }, { output, signal, startProgress, endBadly }) {
    const key = await readKey(values);
    const toKey = await readKey({ 'key-file': values['to-key-file'] });
    const privateKey = await readPrivateKey(values);
    const encryption = encryptionOf(toKey, values.recipient, 'to-key-file');
    const { compression } = values;
    await using source = await BackupRepository.open(from, { create: false, key, privateKey, signal });
    await using target = await BackupRepository.open(to, { encryption, compression, signal });
    const progress = await startProgress();
    let report: CopyPointsReport;
    try {
      report = await copyPoints(source, target, {
        points: point,
        signal,
        onProgress: ({ phase, disk, done, total }) => {
          progress.update(disk ?? phase, done, total);
        },
      });
    } finally {
      progress.stop();
    }
    if (report.damaged.length > 0) endBadly();
    await output.line(json ? JSON.stringify(report) : describe(report));
  },
});

function describe({ copied, present, damaged }: CopyPointsReport): string {
  const stored = copied.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  return [
    ...copied.map(
      ({ id, readBytes, storedBytes }) => `copied   ${id}  ${readBytes} bytes read, ${storedBytes} stored`,
    ),
    ...damaged.map(({ name, reason }) => `damaged  ${name}  ${reason}`),
    `${copied.length} points copied, ${present.length} there before, ${stored} bytes stored`,
  ].join('\n');
}
