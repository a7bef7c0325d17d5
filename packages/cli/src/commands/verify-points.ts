import { BackupRepository, type VerifyMode, type VerifyReport } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, list, required } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';
import { jsonOption } from './json-option.ts';
import { auditOption, keyOptions, readKey } from './repository-options.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    deep: flag('reads and checks every block'),
    sample: {
      ...auditOption,
      value: 'SHARE',
      help: 'reads and checks a share of the blocks, such as 0.05 or 5%',
    },
    point: list('ID,ID', 'only these points'),
    ...keyOptions,
    json: jsonOption('the whole report'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Checks manifests, pages and the tables of packs, and with --deep or --sample blocks too. Names points, disks and ranges that are damaged, and exits with 1 then.',
  ],
  async run({ from, deep, sample, point, json, ...values }, { output, signal, startProgress, endBadly }) {
    const mode = modeOf(deep, sample);
    const key = await readKey(values);
    await using repository = await BackupRepository.open(from, { create: false, key, signal });
    const progress = await startProgress();
    let report: VerifyReport;
    try {
      report = await repository.verify({
        mode,
        points: point,
        signal,
        onProgress: ({ phase, done, total }) => {
          progress.update(phase, done, total);
        },
      });
    } finally {
      progress.stop();
    }
    if (!report.isWhole) endBadly();
    await output.line(json ? JSON.stringify(report) : text(report));
  },
});

function modeOf(deep: boolean, sample: number | undefined): VerifyMode {
  if (sample === undefined) return deep ? 'deep' : 'quick';
  if (deep) throw new UsageError('--deep and --sample exclude each other');
  if (sample > 1) throw new UsageError('--sample takes a share such as 0.05 or 5%');
  return { sample };
}

function text({
  points,
  damagedManifests,
  damagedPacks,
  missingPrevious,
  checked,
  isWhole,
}: VerifyReport): string {
  const harmed = points.flatMap(({ id, domain, disks }) =>
    disks
      .filter(({ state }) => state === 'damaged')
      .flatMap(({ name, ranges }) =>
        ranges.map(
          ({ offset, length, reason }) =>
            `damaged: point ${id} of ${domain.name}, ${name}: ${length} bytes at ${offset}: ${reason}`,
        ),
      ),
  );
  return [
    ...damagedManifests.map(({ name, reason }) => `damaged: ${name}: ${reason}`),
    ...damagedPacks.map(({ pack, reason }) => `damaged: pack ${pack}: ${reason}`),
    ...harmed,
    ...missingPrevious.map(
      ({ id, previous }) => `note: the point before ${id}, ${previous.id}, is not there any more`,
    ),
    `${isWhole ? 'whole' : 'DAMAGED'}: ${points.length} points, ${checked.pages} pages, ${checked.blocks} blocks, ${checked.bytes} bytes read`,
  ].join('\n');
}
