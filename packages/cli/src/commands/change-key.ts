import { changeKey, type KeyReport } from 'libvirt-ts-backup';
import { type Command, defineCommand } from '../command-line/command.ts';
import { flag, list, required, text } from '../command-line/option.ts';
import { jsonOption } from './json-option.ts';
import { privateKeyOption, readKeyFile, readPrivateKey, recipientsOption } from './repository-options.ts';

export const command: Command = defineCommand({
  positionals: {},
  options: {
    repository: required('DIR', 'the repository'),
    'key-file': required(
      'FILE',
      'a key that opens it now: a file with 32 bytes, or with a passphrase as its first line',
    ),
    'new-key-file': text('FILE', 'takes the place of that key, which opens nothing any more'),
    'add-key-file': list('FILE,FILE', 'more keys that open it'),
    'remove-key': list('ID,ID', 'other keys that open nothing any more, as repository-info lists them'),
    'add-recipient': recipientsOption(
      'more X25519 public keys, as base64, whose owners can read what is stored; takes --private-key-file',
    ),
    'remove-recipient': recipientsOption('those that are no recipients any more'),
    ...privateKeyOption,
    yes: flag('does it; without it the keys are only checked, and what would change is shown'),
    json: jsonOption('{dryRun, added, removed, keys, recipients}'),
  },
  about: [
    'Changes what opens an encrypted repository. Nothing that is stored is written anew, and backups may run meanwhile. Interrupted at any time, either the keys of before open it or the new ones do.',
    'The key that blocks are encrypted with stays. Whoever kept an old repository.json and a key that opened it then can still read: if a key is in wrong hands, make a new repository and copy the points into it.',
  ],
  async run({ repository, yes, json, ...values }, { output, signal }) {
    const added = values['add-key-file'] ?? [];
    const newKey = values['new-key-file'];
    const report = await changeKey(repository, {
      key: await readKeyFile('key-file', values['key-file']),
      privateKey: await readPrivateKey(values),
      newKey: newKey === undefined ? undefined : { key: await readKeyFile('new-key-file', newKey) },
      addKeys: await Promise.all(
        added.map(async (path) => ({ key: await readKeyFile('add-key-file', path) })),
      ),
      removeKeys: values['remove-key'],
      addRecipients: values['add-recipient'],
      removeRecipients: values['remove-recipient'],
      dryRun: !yes,
      signal,
    });
    await output.line(json ? asJson(report, !yes) : describe(report, !yes));
  },
});

function asJson({ added, removed, keys, recipients }: KeyReport, dryRun: boolean): string {
  return JSON.stringify({ dryRun, added, removed, keys, recipients });
}

function describe({ added, removed, keys, recipients }: KeyReport, dryRun: boolean): string {
  return [
    ...removed.map((id) => `removed    ${id}`),
    ...keys.map(
      ({ id, type, createdAt }) =>
        `${added.includes(id) ? 'added' : 'stays'}      ${id}  ${type}, since ${createdAt}`,
    ),
    ...(recipients ?? []).map((recipient) => `recipient  ${recipient}`),
    dryRun ? 'nothing was changed (--yes does it)' : `${keys.length} keys open the repository`,
  ].join('\n');
}
