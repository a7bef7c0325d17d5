import { connect, LibvirtConnectError } from 'libvirt-ts-rpc';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { leftovers, type PrivateLibvirtd, requireServers, startLibvirtd } from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64');

describe.skipIf(servers.skip)(servers.title('the sockets of a session'), () => {
  let libvirtd: PrivateLibvirtd;
  let runtime: string;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
  });

  afterAll(async () => {
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  /** A session of our own, with no daemon in it yet. */
  const session = (): string => {
    runtime = join(libvirtd.workDir, 'run');
    mkdirSync(join(runtime, 'libvirt'), { recursive: true });
    // Root has no session: the answer to who we are is the only thing that is not real here.
    vi.spyOn(process, 'geteuid').mockReturnValue(1000);
    vi.stubEnv('XDG_RUNTIME_DIR', runtime);
    vi.stubEnv('XDG_CONFIG_HOME', runtime);
    return join(runtime, 'libvirt');
  };

  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    rmSync(runtime, { recursive: true });
  });

  const opens = async (uri = 'qemu:///session'): Promise<void> => {
    await using libvirt = await connect(uri);
    expect(await libvirt.getUri()).toBe('qemu:///session');
  };

  test('libvirtd is found where there is no virtqemud', async () => {
    symlinkSync(libvirtd.socketPath, join(session(), 'libvirt-sock'));
    await opens();
    await opens('qemu:///session?mode=legacy');
    await expect(connect('qemu:///session?mode=direct')).rejects.toThrow(/virtqemud-sock/);
  });

  test('virtqemud comes first, and libvirtd is not asked', async () => {
    const folder = session();
    symlinkSync(libvirtd.socketPath, join(folder, 'virtqemud-sock'));
    symlinkSync('/nowhere', join(folder, 'libvirt-sock'));
    await opens();
    await opens('qemu:///session?mode=direct');
    await expect(connect('qemu:///session?mode=legacy')).rejects.toThrow(/libvirt-sock/);
  });

  test('a socket that a dead virtqemud left does not hide libvirtd', async () => {
    const folder = session();
    const path = join(folder, 'virtqemud-sock');
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(join(folder, 'dead'), resolve));
    symlinkSync(join(folder, 'dead'), path);
    symlinkSync(libvirtd.socketPath, join(folder, 'libvirt-sock'));
    await new Promise((resolve) => dead.close(resolve)); // its file goes with it …
    await opens();
    writeFileSync(join(folder, 'dead'), ''); // … and now nobody listens on what is there
    await opens();
  });

  test('without a daemon the error names what was tried, and that none is started', async () => {
    session();
    const error: unknown = await connect('qemu:///session').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LibvirtConnectError);
    expect((error as Error).message).toMatch(
      /^qemu:\/\/\/session: .*none is started.*virtqemud-sock.*libvirt-sock.*does libvirtd or virtqemud run.*ENOENT/,
    );
  });

  test('remote_mode of libvirt.conf counts', async () => {
    const folder = session();
    symlinkSync(libvirtd.socketPath, join(folder, 'libvirt-sock'));
    writeFileSync(join(folder, 'libvirt.conf'), 'remote_mode = "direct"\nuri_default = "qemu:///session"\n');
    vi.stubEnv('LIBVIRT_DEFAULT_URI', '');
    await expect(connect()).rejects.toThrow(/virtqemud-sock/);
    writeFileSync(join(folder, 'libvirt.conf'), 'remote_mode = "legacy"\nuri_default = "qemu:///session"\n');
    await using libvirt = await connect();
    expect(libvirt.uri).toBe('qemu:///session');
  });
});
