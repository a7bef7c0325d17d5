import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { commandPath, leftovers, requireServers, run, startLibvirtd } from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'virsh');

const DOMAIN = `<domain type='qemu'><name>t</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>`;

/** Whether `path` lies in a temporary folder of the harness: other files run beside this one. */
const ofAnotherTest = (path: string): boolean => path.startsWith('/dev/shm/lvt-');

/** Names below the shared folders a session daemon could be tempted to use. */
function sharedFiles(): string[] {
  const folders = [
    '/dev/shm',
    '/var/tmp',
    '/run/user',
    '/run/libvirt',
    '/var/lib/libvirt',
    '/var/cache/libvirt',
  ];
  const ofHome = ['.config/libvirt', '.cache/libvirt', '.local/share/libvirt'];
  return [...folders, ...ofHome.map((name) => join(homedir(), name))]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => `${folder}/${String(name)}`))
    .filter((path) => !ofAnotherTest(path))
    .sort();
}

describe.skipIf(servers.skip)(servers.title('private libvirtd'), () => {
  afterEach(() => {
    expect(leftovers()).toEqual([]);
  });

  const virsh = (uri: string, ...args: string[]): Promise<string> =>
    run(commandPath('virsh'), ['-q', '-c', uri, ...args]);

  test('runs domains unprivileged, without virtlogd, and leaves nothing', async () => {
    const before = sharedFiles();
    const libvirtd = await startLibvirtd();
    writeFileSync(join(libvirtd.workDir, 'd.xml'), DOMAIN);
    await virsh(libvirtd.uri, 'create', '--paused', join(libvirtd.workDir, 'd.xml'));
    expect(await virsh(libvirtd.uri, 'list', '--name')).toMatch(/^t$/m);
    const offspring = libvirtd.offspring();
    expect(offspring).toHaveLength(1);
    for (const pid of [libvirtd.pid, ...offspring]) {
      expect(statSync(`/proc/${pid}`).uid).toBe(libvirtd.user.uid);
      expect(libvirtd.user.uid).not.toBe(0);
    }
    expect(leftovers().length).toBeGreaterThanOrEqual(3); // daemon, QEMU, folder: the check does see them
    await libvirtd.stop();
    await libvirtd.stop();
    expect(existsSync(libvirtd.dir)).toBe(false);
    expect(sharedFiles()).toEqual(before);
  });

  test('a virtlogd that gets started is ended too', async () => {
    const libvirtd = await startLibvirtd({ qemuConf: 'stdio_handler = "logd"' });
    writeFileSync(join(libvirtd.workDir, 'd.xml'), DOMAIN);
    await virsh(libvirtd.uri, 'create', '--paused', join(libvirtd.workDir, 'd.xml'));
    expect(libvirtd.offspring()).toHaveLength(2);
    await libvirtd.stop();
  });

  test('domains live on when the daemon is killed, and are found again after a restart', async () => {
    await using libvirtd = await startLibvirtd();
    writeFileSync(join(libvirtd.workDir, 'd.xml'), DOMAIN);
    await virsh(libvirtd.uri, 'create', '--paused', join(libvirtd.workDir, 'd.xml'));
    const { pid } = libvirtd;
    const offspring = libvirtd.offspring();
    await libvirtd.kill('SIGKILL');
    await expect(virsh(libvirtd.uri, 'list')).rejects.toThrow(/Connection refused/);
    expect(libvirtd.offspring()).toEqual(offspring);
    await libvirtd.restart();
    expect(libvirtd.pid).not.toBe(pid);
    expect(await virsh(libvirtd.uri, 'domstate', 't')).toMatch(/paused/);
    expect(libvirtd.offspring()).toEqual(offspring);
  });

  test('a stopped daemon can still be ended', async () => {
    const libvirtd = await startLibvirtd();
    await libvirtd.kill('SIGSTOP');
    await libvirtd.stop();
  });

  test('two daemons do not know each other', async () => {
    await using one = await startLibvirtd();
    await using two = await startLibvirtd();
    writeFileSync(join(one.workDir, 'd.xml'), DOMAIN);
    await virsh(one.uri, 'create', '--paused', join(one.workDir, 'd.xml'));
    expect(two.offspring()).toEqual([]);
    await two.stop();
    expect(await virsh(one.uri, 'domstate', 't')).toMatch(/paused/);
  });

  test('a daemon that does not come up is an error with the end of its log', async () => {
    await expect(startLibvirtd({ libvirtdConf: 'max_clients = "many"' })).rejects.toThrow(
      /libvirtd ended at once.*max_clients/s,
    );
  });
});
