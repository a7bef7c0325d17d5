import { readFile } from 'node:fs/promises';
import { type Option, text } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';

const KEY_BYTES = 32;

/** `--key-file`, for commands that open a repository. */
export const keyOptions: { readonly 'key-file': Option<string | undefined> } = {
  'key-file': text(
    'FILE',
    'of an encrypted repository: a file with 32 bytes, or with a passphrase as its first line; a repository that is made is encrypted with it',
  ),
};

/** What `--key-file` names; undefined: it is not given. */
export async function readKey(values: {
  readonly 'key-file': string | undefined;
}): Promise<Uint8Array | { readonly passphrase: string } | undefined> {
  const path = values['key-file'];
  if (path === undefined) return undefined;
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new UsageError(
      `--key-file ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  if (bytes.length === KEY_BYTES) return new Uint8Array(bytes);
  const [passphrase = ''] = bytes.toString('utf8').split('\n');
  if (passphrase === '') throw new UsageError(`--key-file ${path} is empty`);
  return { passphrase };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `--audit`: a share, a percentage or bytes. */
export const auditOption: Option<number | undefined> = {
  value: 'SHARE|BYTES',
  help: 'how much of what a bitmap calls clean is read and compared: 0.02 or 2% of each disk, or bytes such as 256M; default as many bytes as were dirty, at least 64M, at most 1%',
  isRequired: false,
  isRepeatable: false,
  read([given], name) {
    if (given === undefined) return undefined;
    const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([KMGT%]?)$/.exec(given) ?? [];
    const share =
      unit === '%' || number.includes('.') ? Number(number) / (unit === '%' ? 100 : 1) : undefined;
    const audit = share ?? Number(number) * (UNITS[unit] ?? NaN);
    if (number === '' || (share !== undefined && (share > 1 || (unit !== '' && unit !== '%'))))
      throw new UsageError(`--${name} takes a share such as 0.02 or 2%, or bytes such as 256M, not ${given}`);
    return audit;
  },
};
