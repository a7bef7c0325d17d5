import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  childrenOf,
  isRunning,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  type Sshd,
  startLibvirtd,
  startSshd,
  waitUntil,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'sshd', 'ssh', 'virt-ssh-helper');

/** Connects, says so, and does what is asked of it. */
const SCRIPT = `
  import { connect } from 'libvirt-ts-rpc';
  await connect(process.env.URI);
  console.log('connected');
  if (process.env.THEN === 'exit') process.exit(0);
  if (process.env.THEN === 'throw') throw new Error('on purpose');
`;

describe.skipIf(servers.skip)(servers.title('a process that is connected by ssh'), () => {
  let libvirtd: PrivateLibvirtd;
  let sshd: Sshd;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    sshd = await startSshd({ env: { XDG_RUNTIME_DIR: join(libvirtd.dir, 'run') } });
  });

  afterAll(async () => {
    await sshd.stop();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test.each(['exit', 'throw', 'SIGKILL'] as const)('leaves no ssh behind: %s', async (then) => {
    const uri = `qemu+ssh://${sshd.userName}@127.0.0.1:${sshd.port}/session?keyfile=${sshd.keyFile}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT], {
      cwd: new URL('..', import.meta.url),
      env: { ...process.env, URI: `${uri}&command=${sshd.client}`, THEN: then === 'SIGKILL' ? 'wait' : then },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let said = '';
    let ssh: number[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      ssh = childrenOf(child.pid ?? 0);
      if (then === 'SIGKILL') child.kill('SIGKILL');
    });
    await once(child, 'close');
    expect(said).toBe('connected\n');
    if (then === 'SIGKILL') expect(ssh).toHaveLength(1);
    await waitUntil(() => ssh.every((pid) => !isRunning(pid)), 10_000, 'ssh to end');
    await waitUntil(() => sshd.sessions().length === 0, 10_000, 'the session to end');
  });
});
