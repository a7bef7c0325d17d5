import { BackupRepository, type PruneReport } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, list, required } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';
import { jsonOption } from './json-option.ts';
import { printRemoval, REMOVAL_JSON } from './removal.ts';
import { keyOptions, readKey } from './repository-options.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    point: list('ID,ID', 'these points, as list-points and verify-points name them'),
    yes: flag('does it; without it the plan is only shown'),
    ...keyOptions,
    json: jsonOption(REMOVAL_JSON),
    quiet: flag('no progress bar'),
  },
  about: [
    'Removes single points, damaged ones and the newest of a domain included, and what no other point shares with them. After the newest one has gone, the next backup reads the domain in full. Exits with 1 where a point stays because somebody uses it.',
  ],
  async run({ from, point, yes, json, ...values }, { output, signal, startProgress, endBadly }) {
    if (point === undefined) throw new UsageError('--point is missing');
    const key = await readKey(values);
    await using repository = await BackupRepository.open(from, { create: false, key, signal });
    const progress = await startProgress();
    let report: PruneReport;
    try {
      report = await repository.forgetPoints(point, {
        dryRun: !yes,
        signal,
        onProgress: ({ phase, done, total }) => {
          progress.update(phase, done, total);
        },
      });
    } finally {
      progress.stop();
    }
    if (report.keep.length > 0) endBadly();
    await printRemoval(report, { dryRun: !yes, json, output });
  },
});
