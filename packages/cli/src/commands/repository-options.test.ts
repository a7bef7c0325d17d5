import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '../command-line/usage-error.ts';
import { encryptionOf, readKeyFile, readPrivateKey, recipientsOption } from './repository-options.ts';

const folder = mkdtempSync(join(tmpdir(), 'options-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(content: string | Buffer): string {
  const path = join(folder, randomBytes(4).toString('hex'));
  writeFileSync(path, content);
  return path;
}

const privateKey = (path: string): Promise<Uint8Array | undefined> =>
  readPrivateKey({ 'private-key-file': path });

describe('files with keys', () => {
  it('are 32 bytes, or a passphrase', async () => {
    const bytes = randomBytes(32);
    expect(Buffer.from((await readKeyFile('key-file', file(bytes))) as Uint8Array).equals(bytes)).toBe(true);
    expect(await readKeyFile('key-file', file('correct horse\nmore'))).toEqual({
      passphrase: 'correct horse',
    });
    await expect(readKeyFile('add-key-file', file('\n'))).rejects.toThrow(/^--add-key-file .* is empty$/);
    await expect(readKeyFile('new-key-file', '/nowhere')).rejects.toThrow(/^--new-key-file \/nowhere cannot/);
  });

  it('with a private key are what openssl writes, or its 32 bytes', async () => {
    const { privateKey: key } = generateKeyPairSync('x25519');
    const bytes = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url');
    for (const content of [bytes, key.export({ type: 'pkcs8', format: 'pem' })])
      expect(Buffer.from((await privateKey(file(content))) ?? []).equals(bytes)).toBe(true);
    expect(await readPrivateKey({ 'private-key-file': undefined })).toBeUndefined();
    const other = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    for (const content of ['', 'a passphrase\n', other])
      await expect(privateKey(file(content))).rejects.toThrow(/is no X25519 private key$/);
  });
});

describe('recipients', () => {
  const option = recipientsOption('');

  it('are 32 bytes as base64, several between commas', () => {
    const keys = [randomBytes(32), randomBytes(32)];
    const read = option.read([keys.map((key) => key.toString('base64')).join()], 'recipient');
    expect(read?.map((key) => Buffer.from(key).equals(keys.shift() ?? Buffer.alloc(0)))).toEqual([
      true,
      true,
    ]);
    expect(option.read([], 'recipient')).toBeUndefined();
  });

  it.each(['', 'x', randomBytes(31).toString('base64'), `${randomBytes(32).toString('base64')}!`])(
    'are nothing else: %j',
    (word) => {
      expect(() => option.read([word], 'recipient')).toThrow(UsageError);
    },
  );

  it('go with a key', () => {
    expect(encryptionOf(undefined, undefined)).toBeUndefined();
    expect(() => encryptionOf(undefined, [randomBytes(32)], 'to-key-file')).toThrow(/--to-key-file/);
  });
});
