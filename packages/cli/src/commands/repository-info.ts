import { repositoryInfo, type RepositoryInfo } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { required } from '../command-line/option.ts';
import { remark } from '../output.ts';
import { formatTable } from '../table.ts';
import { jsonOption } from './json-option.ts';
import { keyOptions, readKey } from './repository-options.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    from: required('DIR', 'the repository'),
    ...keyOptions,
    json: jsonOption(
      '{description, id, format, createdAt, blockSize, compression, encryption, domains, points, packs, bytes, leases, intents, jobs, damaged, quarantined, unknown}',
    ),
  },
  about: [
    'Says what a repository is, how it is encrypted, what is in it and who works in it. Changes nothing, and needs no key: without one it says what it could not tell. Sizes are in bytes.',
  ],
  async run({ from, json, ...values }, { output, signal }) {
    const info = await repositoryInfo(from, { key: await readKey(values), signal });
    for (const sentence of info.unknown) remark(`note: ${sentence}`);
    await output.line(json ? JSON.stringify(info) : describe(info, output.columns), signal);
  },
});

function describe(info: RepositoryInfo, columns: number | undefined): string {
  const { description, id, format, createdAt, blockSize, compression, packs, bytes } = info;
  const rows = [
    ['place', description],
    ['id', id],
    ['format', `${format}, blocks of ${blockSize}, compression ${compression}`],
    ['created', createdAt ?? 'not written down'],
    ...encryptionRows(info),
    ['stored', `${bytes}, of which ${packs.bytes} in ${packs.count} packs`],
    ['points', String(info.points)],
    ...info.domains.map(({ uuid, names, points, newest }) => [
      '  domain',
      `${uuid}${names === null ? '' : ` ${names.join(', ')}`}: ${points}, the newest ${newest}`,
    ]),
    ...info.leases.map(({ kind, host, pid, since, state }) => [
      'at work',
      `${kind ?? 'something'} by process ${pid ?? '?'} on ${host ?? '?'} since ${since ?? '?'}: ${state}`,
    ]),
    ...info.intents.map((intent) => ['unfinished', `writer ${intent}`]),
    ...info.jobs.map((job) => ['unfinished', `job ${job}`]),
    ...(info.damaged ?? []).map(({ name, reason }) => ['damaged', `${name}: ${reason}`]),
    ...(info.quarantined.count === 0
      ? []
      : [['put aside', `${info.quarantined.count} damaged objects, ${info.quarantined.bytes}`]]),
  ];
  return formatTable(rows, { columns });
}

function encryptionRows({ encryption }: RepositoryInfo): readonly (readonly string[])[] {
  if (encryption === null) return [['encryption', 'none']];
  const { cipher, keys, recipients } = encryption;
  return [
    ['encryption', recipients === null ? cipher : `${cipher}, sealed to recipients`],
    ...keys.map(({ id, type, createdAt }) => ['  key', `${id} ${type}, since ${createdAt}`]),
    ...(recipients ?? []).map((recipient) => ['  recipient', recipient]),
  ];
}
