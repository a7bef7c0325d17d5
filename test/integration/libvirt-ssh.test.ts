import { connect, LibvirtConnectError, LibvirtConnectionClosedError, LibvirtError } from 'libvirt-ts-rpc';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  childrenOf,
  commandLine,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  type Sshd,
  startLibvirtd,
  startSshd,
  virsh,
  waitUntil,
} from '../harness/index.ts';

const commands = ['libvirtd', 'virsh', 'qemu-system-x86_64', 'sshd', 'ssh', 'nc', 'virt-ssh-helper'];
const servers = requireServers(...commands);

/** What a host without virt-ssh-helper has. */
const WITHOUT_HELPER = ['sh', 'nc', 'grep'];

describe.skipIf(servers.skip)(servers.title('ssh to a real daemon'), () => {
  let libvirtd: PrivateLibvirtd;
  let sshd: Sshd;
  let bare: Sshd;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    const env = { XDG_RUNTIME_DIR: join(libvirtd.dir, 'run'), HOME: join(libvirtd.dir, 'home') };
    sshd = await startSshd({ env });
    bare = await startSshd({ env, commands: WITHOUT_HELPER });
  });

  afterAll(async () => {
    await sshd.stop();
    await bare.stop();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  /** What was started here but for the daemons, those included that have ended and were not waited for. */
  const children = (): string[] =>
    childrenOf(process.pid)
      .map((pid) => `${pid} ${commandLine(pid)}`)
      .filter((line) => !/sshd|libvirtd/.test(line));

  afterEach(async () => {
    expect(children()).toEqual([]);
    vi.unstubAllEnvs();
    const sessions = (): number[] => [...sshd.sessions(), ...bare.sessions()];
    await waitUntil(() => sessions().length === 0, 10_000, 'the sessions of sshd to end');
  });

  /** With `command`, so that neither this test nor virsh heeds the configuration of the machine. */
  const uri = (at: Sshd, path = '/session', more = ''): string =>
    `qemu+ssh://${at.userName}@127.0.0.1:${at.port}${path}?keyfile=${at.keyFile}&command=${at.client}${more}`;
  const overNetcat = (at: Sshd, more = ''): string =>
    uri(at, '/session', `&proxy=netcat&socket=${libvirtd.socketPath}${more}`);

  const failureOf = async (at: string): Promise<LibvirtConnectError> => {
    const error: unknown = await connect(at, { onWarning: () => undefined }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(LibvirtConnectError);
    return error as LibvirtConnectError;
  };

  test('virt-ssh-helper finds the socket of a session by itself', async () => {
    await using libvirt = await connect(uri(sshd));
    expect(await libvirt.getUri()).toBe('qemu:///session');
    expect(await libvirt.getHostname()).toBe((await virsh(uri(sshd), 'hostname')).trim());
    const [pid = 0, ...more] = childrenOf(process.pid).filter((child) =>
      commandLine(child).includes('ssh -F'),
    );
    expect(more).toEqual([]);
    expect(commandLine(pid)).toContain('virt-ssh-helper');
    expect(sshd.sessions().map(commandLine)).toContainEqual(
      expect.stringMatching(/^virt-ssh-helper -- qemu:\/\/\/session/),
    );
  });

  test('netcat leads to the socket that it is given', async () => {
    await using libvirt = await connect(overNetcat(sshd));
    expect(await libvirt.getUri()).toBe('qemu:///session');
    expect((await libvirt.getCapabilities()).trim()).toBe(
      (await virsh(overNetcat(sshd), 'capabilities')).trim(),
    );
    expect(sshd.sessions().map(commandLine)).toContainEqual(
      expect.stringMatching(/^nc (-q0 )?-U \S+libvirt-sock$/),
    );
  });

  test('a host without virt-ssh-helper is reached by netcat, where proxy leaves the choice', async () => {
    const choice = `&proxy=auto&socket=${libvirtd.socketPath}`;
    await using libvirt = await connect(uri(bare, '/system', `${choice}&name=qemu:///session`));
    expect(await libvirt.getUri()).toBe('qemu:///session');
    expect(bare.sessions().map(commandLine)).toContainEqual(expect.stringMatching(/^nc /));
    const failure = await failureOf(uri(bare, '/session'));
    expect(failure.message).toMatch(/ssh to 127\.0\.0\.1 ended with exit status 127: .*virt-ssh-helper/);
  });

  test('the ssh that is found in PATH is the one that is started, as virsh does', async () => {
    vi.stubEnv('PATH', `${sshd.clientFolder}:${process.env['PATH'] ?? ''}`);
    const plain = `qemu+ssh://${sshd.userName}@127.0.0.1:${sshd.port}/session?keyfile=${sshd.keyFile}`;
    await using libvirt = await connect(plain);
    expect(await libvirt.listAllDomains()).toEqual([]);
    await using other = await connect(plain.replace('+ssh', '+libssh2'));
    expect(await other.getUri()).toBe('qemu:///session');
  });

  test('large replies and many calls come whole, and an error of the daemon is one of a call', async () => {
    await using libvirt = await connect(uri(sshd));
    const one = await libvirt.getCapabilities();
    const all = await Promise.all(Array.from({ length: 20 }, () => libvirt.getCapabilities()));
    expect(all.every((text) => text === one)).toBe(true);
    await expect(libvirt.lookupDomainByName('nobody')).rejects.toThrow(LibvirtError);
  });

  test('a volume is moved over a second ssh', async () => {
    await using libvirt = await connect(uri(sshd));
    await virsh(libvirtd.uri, 'pool-create-as', 'p', 'dir', '--target', libvirtd.imagesDir);
    await virsh(libvirtd.uri, 'vol-create-as', 'p', 'v', '8M');
    const pool = await libvirt.lookupStoragePoolByName('p');
    const volume = await pool.storageVolLookupByName('v');
    const content = Buffer.alloc(8 * 1024 * 1024, 'some bytes');
    const upload = await volume.upload();
    await new Promise<void>((resolve, reject) => {
      upload.once('error', reject);
      upload.end(content, resolve);
    });
    const parts: Buffer[] = [];
    for await (const part of await volume.download()) parts.push(part as Buffer);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
    await waitUntil(() => children().length === 1, 10_000, 'the ssh of the streams to end');
    await virsh(libvirtd.uri, 'pool-destroy', 'p');
  });

  test('known_hosts, known_hosts_verify, sshauth and no_tty reach ssh', async () => {
    const stranger = join(libvirtd.workDir, 'known hosts');
    writeFileSync(stranger, '');
    const known = encodeURIComponent(stranger);
    const strict = await failureOf(uri(sshd, '/session', `&known_hosts=${known}&known_hosts_verify=normal`));
    expect(strict.message).toContain('Host key verification failed');
    const options = `&known_hosts=${known}&known_hosts_verify=auto&sshauth=privkey&no_tty=1`;
    await using libvirt = await connect(uri(sshd, '/session', options));
    expect(await libvirt.getUri()).toBe('qemu:///session');
    await using again = await connect(
      uri(sshd, '/session', `&known_hosts=${known}&known_hosts_verify=normal`),
    );
    expect(await again.getUri()).toBe('qemu:///session');
    const agent = await failureOf(uri(sshd, '/session', '&sshauth=password&no_tty=1'));
    expect(agent.message).toContain('Permission denied');
  });

  test('a host that is not known is refused in batch mode, in the words of ssh', async () => {
    const failure = await failureOf(uri(sshd, '/session', '&known_hosts=/dev/null&no_tty=1'));
    expect(failure.message).toMatch(/exit status 255: .*Host key verification failed/);
    await using libvirt = await connect(uri(sshd, '/session', '&known_hosts=/dev/null&no_verify=1'), {
      onWarning: () => undefined,
    });
    expect(await libvirt.getUri()).toBe('qemu:///session');
  });

  test('a key that is refused is told as such', async () => {
    const failure = await failureOf(uri(sshd).replace(sshd.keyFile, sshd.strangerKeyFile));
    expect(failure.message).toMatch(/exit status 255: .*Permission denied \(publickey\)/);
    expect(failure.message).not.toMatch(/\\u/);
  });

  test('nobody on the port, no such program and no daemon behind ssh are told apart', async () => {
    const nobody = await failureOf(uri(sshd).replace(`:${sshd.port}`, ':1'));
    expect(nobody.message).toContain('Connection refused');
    const missing = await failureOf(`qemu+ssh://h/system?command=${libvirtd.workDir}/none`);
    expect(missing.message).toMatch(/cannot start ssh to h: .*ENOENT/);
    const socket = uri(sshd, '/session', `&socket=${libvirtd.workDir}/none`);
    expect((await failureOf(socket)).message).toMatch(/No such file or directory/);
    const noNetcat = uri(sshd, '/session', `&socket=/s&netcat=${libvirtd.workDir}/nc`);
    expect((await failureOf(noNetcat)).message).toMatch(/exit status 127/);
  });

  test('an ssh that is killed in mid-call fails the calls, with the reason', async () => {
    const libvirt = await connect(uri(sshd));
    await libvirtd.kill('SIGSTOP');
    try {
      const call = libvirt.getHostname();
      const outcome = expect(call).rejects.toThrow(LibvirtConnectionClosedError);
      const [pid = 0] = childrenOf(process.pid).filter((child) => commandLine(child).includes('ssh -F'));
      process.kill(pid, 'SIGKILL');
      await outcome;
      await expect(call).rejects.toThrow(/ssh to 127\.0\.0\.1 was ended by SIGKILL/);
      const { reason, error } = await libvirt.closed;
      expect(reason).toBe('error');
      expect(error).toBeInstanceOf(LibvirtConnectError);
    } finally {
      await libvirtd.kill('SIGCONT');
    }
  });

  test('no child is left by close, destroy, an abort, a timeout, a refusal', async () => {
    const closed = await connect(uri(sshd));
    await closed.close();
    expect(children()).toEqual([]);

    const destroyed = await connect(uri(sshd));
    destroyed.destroy();
    await destroyed.closed;
    expect(children()).toEqual([]);

    await expect(connect(overNetcat(sshd, '&name=nonsense:///'))).rejects.toThrow(LibvirtError);
    expect(children()).toEqual([]);

    await libvirtd.kill('SIGSTOP');
    try {
      await expect(connect(uri(sshd), { connectTimeoutMs: 500 })).rejects.toThrow('within 500 ms');
      expect(children()).toEqual([]);
      const reason = new Error('enough');
      const controller = new AbortController();
      const connecting = connect(uri(sshd), { signal: controller.signal });
      await waitUntil(() => children().length === 1, 10_000, 'ssh to start');
      controller.abort(reason);
      await expect(connecting).rejects.toBe(reason);
      expect(children()).toEqual([]);
      await expect(connect(uri(sshd), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(children()).toEqual([]);
    } finally {
      await libvirtd.kill('SIGCONT');
    }
  });

  test('a program that heeds neither the end of its input nor SIGTERM is killed', async () => {
    const stubborn = join(libvirtd.workDir, 'stubborn');
    writeFileSync(stubborn, "#!/bin/sh\ntrap '' TERM\nexec 0<&-\nwhile :; do sleep 1; done\n");
    chmodSync(stubborn, 0o755);
    const connecting = connect(`qemu+ext:///system?command=${stubborn}`, { connectTimeoutMs: 500 });
    await expect(connecting).rejects.toThrow('within 500 ms');
    expect(children()).toEqual([]);
  });

  test('ext: any program that leads to the daemon will do', async () => {
    const command = join(libvirtd.workDir, 'to-the-daemon');
    writeFileSync(command, `#!/bin/sh\nexec nc -U ${libvirtd.socketPath}\n`);
    chmodSync(command, 0o755);
    const at = `qemu+ext:///session?command=${command}`;
    await using libvirt = await connect(at);
    expect(await libvirt.getHostname()).toBe((await virsh(at, 'hostname')).trim());
    const broken = join(libvirtd.workDir, 'broken');
    writeFileSync(broken, '#!/bin/sh\necho "no way" >&2\nexit 3\n');
    chmodSync(broken, 0o755);
    expect((await failureOf(`qemu+ext:///session?command=${broken}`)).message).toContain(
      'ended with exit status 3: no way',
    );
  });

  test('a host or user that ssh could take for an option never reaches it', async () => {
    for (const bad of ['qemu+ssh://-oProxyCommand=x/system', 'qemu+ssh://%2DoProxyCommand=x@h/system'])
      await expect(connect(`${bad}?command=${sshd.client}`)).rejects.toMatchObject({
        code: 'ERR_LIBVIRT_USAGE',
      });
  });
});
