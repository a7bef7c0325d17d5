import { BackupRepository, type KeepPolicy, type PruneReport } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, list, number, required } from '../command-line/option.ts';
import { domainOptions, requireDomain } from './domain-options.ts';
import { jsonOption } from './json-option.ts';
import { printRemoval, REMOVAL_JSON } from './removal.ts';
import { keyOptions, readKey } from './repository-options.ts';

const HOUR_MS = 3_600_000;

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    ...domainOptions,
    'keep-last': number('N', 'keeps the N newest points of each domain'),
    'keep-hourly': number('N', 'keeps the newest point of each of the last N hours that have one'),
    'keep-daily': number('N', 'the same for days, in UTC'),
    'keep-weekly': number('N', 'the same for weeks, which begin on Mondays'),
    'keep-monthly': number('N', 'the same for months'),
    'keep-yearly': number('N', 'the same for years'),
    'min-age': number('HOURS', 'keeps every point that is younger'),
    protect: list('ID,ID', 'keeps these points'),
    sweep: flag(
      'frees at once what is of no use any more; without it that waits, in a large repository, until it is a sixteenth of what is stored',
    ),
    yes: flag('does it; without it the plan is only shown'),
    ...keyOptions,
    json: jsonOption(REMOVAL_JSON),
    quiet: flag('no progress bar'),
  },
  about: [
    'Removes the points that no rule keeps, and what no other point shares with them; of all domains unless one is named. The newest point of a domain always stays. Without any rule nothing is removed.',
  ],
  async run({ from, domain, uuid, sweep, yes, json, ...values }, { output, signal, startProgress }) {
    const policy: KeepPolicy = {
      keepLast: values['keep-last'],
      keepHourly: values['keep-hourly'],
      keepDaily: values['keep-daily'],
      keepWeekly: values['keep-weekly'],
      keepMonthly: values['keep-monthly'],
      keepYearly: values['keep-yearly'],
      minAgeMs: values['min-age'] === undefined ? undefined : values['min-age'] * HOUR_MS,
      protected: values.protect,
    };
    if (domain !== undefined || uuid !== undefined) requireDomain({ domain, uuid });
    const key = await readKey(values);
    await using repository = await BackupRepository.open(from, { create: false, key, signal });
    const progress = await startProgress();
    let report: PruneReport;
    try {
      report = await repository.prune(policy, {
        domain: uuid === undefined ? domain : { uuid },
        dryRun: !yes,
        sweepShare: sweep ? 0 : undefined,
        signal,
        onProgress: ({ phase, done, total }) => {
          progress.update(phase, done, total);
        },
      });
    } finally {
      progress.stop();
    }
    await printRemoval(report, { dryRun: !yes, json, output });
  },
});
