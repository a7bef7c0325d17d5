import { BackupRepository, type Point } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { required } from '../command-line/option.ts';
import { remark } from '../output.ts';
import { formatTable } from '../table.ts';
import { keyOptions, readKey } from './repository-options.ts';
import { describePoint, modeOf } from './describe-point.ts';
import { domainOptions, requireDomain } from './domain-options.ts';
import { jsonOption } from './json-option.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    ...domainOptions,
    ...keyOptions,
    json: jsonOption(
      'an array, oldest first, of {id, createdAt, domain, mode, checkpoint, previous, disks, excluded, versions}',
    ),
  },
  about: ['Lists the points in time that can be restored, oldest first; of all domains unless one is named.'],
  async run({ from, domain, uuid, json, ...values }, { output, signal }) {
    if (domain !== undefined || uuid !== undefined) requireDomain({ domain, uuid });
    await using repository = await BackupRepository.open(from, {
      create: false,
      key: await readKey(values),
      signal,
    });
    const { points: listed, damaged } = await repository.inspect(uuid === undefined ? domain : { uuid }, {
      signal,
    });
    const points = listed.map(({ point }) => point);
    for (const { name, reason } of damaged) remark(`damaged: ${name}: ${reason}`);
    if (json) await output.line(JSON.stringify(points.map(describePoint), null, 2), signal);
    else if (points.length > 0) await output.line(table(points, output.columns), signal);
    else remark(`${repository.description} has no points yet`);
  },
});

function table(points: readonly Point[], columns: number | undefined): string {
  const rows = points.map((point) => [
    point.id,
    point.createdAt,
    point.domain.name,
    point.domain.uuid,
    modeOf(point),
    point.disks.map(({ name, readBytes, storedBytes }) => `${name}:${readBytes}/${storedBytes}`).join(' '),
  ]);
  const headings = ['ID', 'CREATED', 'DOMAIN', 'UUID', 'MODE', 'DISKS (BYTES READ/STORED)'];
  return formatTable(rows, { headings, columns });
}
