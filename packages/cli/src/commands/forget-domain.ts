import { BackupRepository, type CleanupStep, type ForgetResult } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, required, text } from '../command-line/option.ts';
import { domainOptions, lookUpDomain, requireDomain } from './domain-options.ts';
import { jsonOption } from './json-option.ts';
import { keyOptions, readKey } from './repository-options.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    connect: text('URI', 'libvirt, such as qemu:///system; default LIBVIRT_DEFAULT_URI'),
    ...domainOptions,
    repository: required('DIR', 'the repository whose checkpoints and bitmaps are meant'),
    all: flag('those of every repository of this library, and of jobs without one, too'),
    yes: flag('does it; without it the steps are only shown'),
    ...keyOptions,
    json: jsonOption('{dryRun, steps, remarks} as one line of JSON'),
  },
  about: [
    "Takes a repository's checkpoints and bitmaps off a domain, so that the domain can be undefined, or reverted to an internal snapshot. Points stay; the next backup reads the domain in full.",
    'Bitmaps are reached only while the domain runs.',
  ],
  async run(
    { connect: uri, domain, uuid, repository: folder, all, yes, json, ...values },
    { output, signal, endBadly },
  ) {
    requireDomain({ domain, uuid });
    await using libvirt = await connect(uri, { signal });
    const handle = await lookUpDomain(libvirt, { domain, uuid }, signal);
    const key = await readKey(values);
    await using repository = await BackupRepository.open(folder, { create: false, key, signal });
    const result = await repository.forgetDomain(handle, { dryRun: !yes, all, signal });
    await output.line(json ? asJson(result, !yes) : report(result, !yes));
    if (result.remarks.length > 0) endBadly();
  },
});

function asJson({ steps, remarks }: ForgetResult, dryRun: boolean): string {
  return JSON.stringify({ dryRun, steps, remarks: remarks.map(({ message }) => message) });
}

function report({ steps, remarks }: ForgetResult, dryRun: boolean): string {
  if (steps.length === 0) return 'nothing of ours is on the domain';
  const heading = dryRun ? 'would be done (--yes does it):' : 'done:';
  return [
    heading,
    ...steps.map((step) => `  ${describe(step)}`),
    ...remarks.map(({ message }) => message),
  ].join('\n');
}

function describe(step: CleanupStep): string {
  switch (step.type) {
    case 'redefine-checkpoint':
      return `make checkpoint ${step.checkpoint.name} known again`;
    case 'delete-checkpoint':
      return `delete checkpoint ${step.name}`;
    case 'remove-bitmap':
      return `remove bitmap ${step.name} from ${step.image}`;
  }
}
