import { BackupRepository, type OnProgress, type VerifyMode } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, list, required, text } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';
import { liveLines, repairLines, verifyLines, verifySummary } from './describe-report.ts';
import { domainOptions, lookUpDomain, requireDomain } from './domain-options.ts';
import { jsonOption } from './json-option.ts';
import { auditOption, keyOptions, privateKeyOption, readKey, readPrivateKey } from './repository-options.ts';

const options = {
  from: required('DIR', 'the repository'),
  deep: flag('reads and checks every block'),
  sample: {
    ...auditOption,
    value: 'SHARE',
    help: 'reads and checks a share of the blocks, or with --live of each disk, such as 0.05 or 5%',
  },
  point: list('ID,ID', 'only these points'),
  repair: flag('quarantines what is damaged: no backup shares it from then on, the next one reads it anew'),
  'set-aside': list('NAME,NAME', 'with --repair: moves these damaged manifests out of the way'),
  yes: flag('with --repair: does it; without it the plan is only shown'),
  live: flag('compares the newest point of a running domain with the domain instead'),
  connect: text('URI', 'with --live: libvirt, such as qemu:///system; default LIBVIRT_DEFAULT_URI'),
  ...domainOptions,
  disk: list('vda,vdb', 'with --live: only these disks, by their targets'),
  scratch: text('DIR', 'with --live: a folder for scratch files and the socket, as with backup-domain'),
  ...keyOptions,
  ...privateKeyOption,
  json: jsonOption('the whole report'),
  quiet: flag('no progress bar'),
};
type Given = { readonly [Name in keyof typeof options]: ReturnType<(typeof options)[Name]['read']> };

export const command: Command = defineCommand({
  positionals: {},
  options,
  about: [
    'Checks manifests, pages and the tables of packs, and with --deep or --sample blocks too. Names points, disks and ranges that are damaged, and exits with 1 then, repaired or not: a point that is damaged stays so.',
    '--repair changes nothing that is stored. It writes down what is damaged, so that the next backup of each domain stores anew what its newest point has lost, and the domain still has.',
    '--live reads what has not changed since the newest point, as the dirty bitmaps of the domain say, and compares it by hashes. Exits with 1 if anything is different, or nothing could be compared.',
  ],
  async run(given, { output, signal, startProgress, endBadly }) {
    const mode = modeOf(given);
    checkTogether(given);
    const [key, privateKey] = [await readKey(given), await readPrivateKey(given)];
    await using repository = await BackupRepository.open(given.from, {
      create: false,
      ...{ key, privateKey, signal },
    });
    const progress = await startProgress();
    const tools = {
      signal,
      onProgress: (({ phase, disk, done, total }) => {
        progress.update(disk ?? phase, done, total);
      }) satisfies OnProgress,
    };
    let found: Found;
    try {
      found = given.live
        ? await compare(repository, given, tools)
        : await check(repository, given, { ...tools, mode });
    } finally {
      progress.stop();
    }
    if (!found.isWhole) endBadly();
    await output.line(given.json ? JSON.stringify(found.report) : found.lines.join('\n'));
  },
});

interface Found {
  readonly isWhole: boolean;
  readonly report: object;
  readonly lines: readonly string[];
}

interface Tools {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

async function check(
  repository: BackupRepository,
  { point: points, repair, yes, 'set-aside': manifests }: Given,
  tools: Tools & { readonly mode: VerifyMode },
): Promise<Found> {
  if (!repair) {
    const report = await repository.verify({ ...tools, points });
    return { isWhole: report.isWhole, report, lines: [...verifyLines(report), verifySummary(report)] };
  }
  const report = await repository.repair({ ...tools, points, manifests, dryRun: !yes });
  const lines = [...verifyLines(report), ...repairLines(report, yes), verifySummary(report)];
  return { isWhole: report.isWhole, report: { dryRun: !yes, ...report }, lines };
}

async function compare(
  repository: BackupRepository,
  { connect: uri, domain, uuid, disk: disks, scratch: scratchDir, sample: share }: Given,
  tools: Tools,
): Promise<Found> {
  const { signal } = tools;
  await using libvirt = await connect(uri, { signal });
  const handle = await lookUpDomain(libvirt, { domain, uuid }, signal);
  const report = await repository.verifyLive(handle, { ...tools, disks, scratchDir, share });
  for (const { message } of report.remarks) process.stderr.write(`note: ${message}\n`);
  const remarks = report.remarks.map(({ reason, message }) => ({ reason, message }));
  return { isWhole: report.isWhole, report: { ...report, remarks }, lines: liveLines(report) };
}

function modeOf({ deep, sample }: Given): VerifyMode {
  if (sample === undefined) return deep ? 'deep' : 'quick';
  if (deep) throw new UsageError('--deep and --sample exclude each other');
  if (sample > 1 || sample === 0) throw new UsageError('--sample takes a share such as 0.05 or 5%');
  return { sample };
}

/** @throws UsageError for options that make no sense together */
function checkTogether(given: Given): void {
  const isGiven = (name: keyof Given): boolean => given[name] !== undefined && given[name] !== false;
  const refuse = (names: readonly (keyof Given)[], why: string): void => {
    for (const name of names) if (isGiven(name)) throw new UsageError(`--${name} ${why}`);
  };
  if (!given.repair) refuse(['yes', 'set-aside'], 'goes with --repair');
  if (!given.live) refuse(['connect', 'domain', 'uuid', 'disk', 'scratch'], 'goes with --live');
  if (!given.live) return;
  refuse(['deep', 'point', 'repair'], 'does not go with --live');
  requireDomain(given);
}
