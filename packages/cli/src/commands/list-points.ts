import { BackupRepository, type Point } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { required } from '../command-line/option.ts';
import { formatTable } from '../table.ts';
import { describePoint } from './describe-point.ts';
import { domainOptions } from './domain-options.ts';
import { jsonOption } from './json-option.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    ...domainOptions,
    json: jsonOption(
      'an array, oldest first, of {id, domain, createdAt, mode, parent, previous, checkpoint, disks}',
    ),
  },
  about: ['Lists the points in time that can be restored, oldest first; of all domains unless one is named.'],
  async run({ from, domain, uuid, json }, { output, signal }) {
    const repository = await BackupRepository.open(from, { create: false });
    const points = await repository.points(uuid === undefined ? domain : { uuid });
    if (json) await output.line(JSON.stringify(points.map(describePoint), null, 2), signal);
    else if (points.length > 0) await output.line(table(points, output.columns), signal);
    else process.stderr.write(`${repository.path} has no points yet\n`);
  },
});

function table(points: readonly Point[], columns: number | undefined): string {
  const rows = points.map(({ id, createdAt, domain, mode, disks }) => [
    id,
    createdAt,
    domain.name,
    domain.uuid,
    mode,
    disks.map(({ name, dataBytes }) => `${name}:${dataBytes}`).join(' '),
  ]);
  const headings = ['ID', 'CREATED', 'DOMAIN', 'UUID', 'MODE', 'DISKS (BYTES STORED)'];
  return formatTable(rows, { headings, columns });
}
