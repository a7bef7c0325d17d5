import { BackupRepository, type Point } from 'libvirt-ts-backup';
import { describePoint, formatTable, printLine } from './cli/output.ts';
import { runCommand } from './cli/run.ts';

const help = `--from DIR [--domain NAME] [--json]

Lists the points in time that can be restored, oldest first.

  --from DIR     the repository
  --domain NAME  only of this domain, by name or UUID
  --json         an array, oldest first, of id, domain, createdAt, mode, parent, previous,
                 checkpoint and disks`;

await runCommand(
  { name: 'list-points', help, positionals: [], switches: ['json'], settings: ['from', 'domain'] },
  async (args, signal) => {
    const repository = await BackupRepository.open(args.require('from'), { create: false });
    const points = await repository.points(args.get('domain'));
    if (args.has('json')) await printLine(JSON.stringify(points.map(describePoint), null, 2), signal);
    else if (points.length > 0) await printLine(table(points), signal);
    else process.stderr.write(`${repository.path} has no points yet\n`);
  },
);

function table(points: readonly Point[]): string {
  const rows = points.map(({ id, createdAt, domain, mode, disks }) => [
    id,
    createdAt,
    domain.name,
    mode,
    disks.map(({ name, dataBytes }) => `${name}:${dataBytes}`).join(' '),
  ]);
  return formatTable([['ID', 'CREATED', 'DOMAIN', 'MODE', 'DISKS (BYTES STORED)'], ...rows]);
}
