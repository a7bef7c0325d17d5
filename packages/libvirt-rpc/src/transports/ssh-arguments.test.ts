import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SshEndpoint, SshProxy } from '../uri/endpoint.ts';
import { remoteCommand, sshArguments } from './ssh-arguments.ts';

const native: SshProxy = { kind: 'native', uri: 'qemu:///system' };

const plain: SshEndpoint = {
  transport: 'ssh',
  program: 'ssh',
  host: 'host1',
  port: undefined,
  user: undefined,
  keyFile: undefined,
  knownHostsFile: undefined,
  hostKeys: undefined,
  methods: undefined,
  isUnattended: false,
  proxy: native,
  readOnly: false,
};

const options = (more: Partial<SshEndpoint>): readonly string[] =>
  sshArguments({ ...plain, ...more }).slice(0, -3);

describe('the arguments for ssh', () => {
  test('end with the host and one command, behind what ends the options', () => {
    expect(sshArguments(plain)).toEqual(['-T', '-e', 'none', '--', 'host1', remoteCommand(native, false)]);
  });

  test.each<[Partial<SshEndpoint>, string]>([
    [{ port: 2222, user: 'u', keyFile: '/k' }, '-p 2222 -l u -i /k -T -e none'],
    [{ isUnattended: true }, '-T -e none -o BatchMode=yes'],
    [{ hostKeys: 'known' }, '-T -e none -o StrictHostKeyChecking=yes'],
    [{ hostKeys: 'accept-new' }, '-T -e none -o StrictHostKeyChecking=accept-new'],
    [{ hostKeys: 'unchecked' }, '-T -e none -o StrictHostKeyChecking=no'],
    [{ knownHostsFile: '/a b' }, '-T -e none -o UserKnownHostsFile="/a b"'],
    [{ methods: ['password'] }, '-T -e none -o PreferredAuthentications=password'],
    [{ methods: ['agent', 'privkey'] }, '-T -e none -o PreferredAuthentications=publickey'],
    [
      { methods: ['agent', 'keyboard-interactive'] },
      '-T -e none -o PreferredAuthentications=publickey,keyboard-interactive -o IdentityFile=none',
    ],
    [{ methods: ['privkey'] }, '-T -e none -o PreferredAuthentications=publickey -o IdentityAgent=none'],
  ])('%j', (more, expected) => {
    expect(options(more).join(' ')).toBe(expected);
  });
});

describe('the command for the other side, run by a real shell', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ssh-'));
    const echo = '#!/bin/sh\nprintf "%s|" "$(basename "$0")" "$@"\n';
    const netcat = `#!/bin/sh\nif [ "$*" = -q ]; then echo "nc: option requires an argument -- q" >&2; exit 1; fi\n`;
    for (const [name, text] of [
      ['virt-ssh-helper', echo],
      ["n'c", echo],
      ['nc', `${netcat}${echo}`],
    ] as const) {
      writeFileSync(join(folder, name), text);
      chmodSync(join(folder, name), 0o755);
    }
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const run = (proxy: SshProxy, readOnly = false, path = `${folder}:/usr/bin:/bin`): string =>
    execFileSync('/bin/sh', ['-c', remoteCommand(proxy, readOnly)], {
      env: { PATH: path },
      encoding: 'utf8',
    });

  const nasty = [
    "'; touch /tmp/x; '",
    '$(id) `id` ${HOME} $HOME',
    '"quoted" \\ \\\' \\\\',
    "it's",
    '&& | > < ; * ? ~ # !',
    '-r',
    '',
  ];

  test.each(nasty)('virt-ssh-helper is given the URI as it is: %j', (uri) => {
    expect(run({ kind: 'native', uri })).toBe(`virt-ssh-helper|--|${uri}|`);
    expect(run({ kind: 'native', uri }, true)).toBe(`virt-ssh-helper|-r|--|${uri}|`);
    expect(run({ kind: 'auto', uri, program: 'nc', socket: '/s' })).toBe(`virt-ssh-helper|--|${uri}|`);
  });

  test.each(nasty)('netcat is given the socket as it is: %j', (socket) => {
    expect(run({ kind: 'netcat', program: 'nc', socket })).toBe(`nc|-q0|-U|${socket}|`);
    const program = join(folder, "n'c");
    expect(run({ kind: 'netcat', program, socket })).toBe(`n'c|-U|${socket}|`);
  });

  test('netcat is for hosts without virt-ssh-helper', () => {
    const bare = mkdtempSync(join(tmpdir(), 'ssh-'));
    try {
      for (const name of ['sh', 'grep', 'basename']) symlinkSync(`/usr/bin/${name}`, join(bare, name));
      symlinkSync(join(folder, 'nc'), join(bare, 'nc'));
      expect(run({ kind: 'auto', uri: 'u', program: 'nc', socket: '/s' }, false, bare)).toBe('nc|-q0|-U|/s|');
    } finally {
      rmSync(bare, { recursive: true });
    }
  });
});
