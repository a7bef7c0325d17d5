import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Child,
  makeTemporaryFolder,
  requireServers,
  type RunResult,
  runAny,
  startChild,
  type TemporaryFolder,
  waitUntil,
} from '../harness/index.ts';
import { commandLine } from '../harness/proc-table.ts';

const script = fileURLToPath(new URL('../../scripts/with-docker.mjs', import.meta.url));
const servers = requireServers('dockerd', 'unshare', 'setpriv');
const isRoot = process.getuid?.() === 0;

const title = isRoot ? 'with-docker' : 'with-docker (skipped: only root can start an engine)';

describe.skipIf(servers.skip || !isRoot)(servers.title(title), () => {
  let folder: TemporaryFolder;
  let before: readonly boolean[];
  /** Whether there is what an engine makes by default outside of its folder. */
  const elsewhere = (): boolean[] =>
    ['/run/docker', '/run/containerd', '/etc/docker', '/var/lib/docker'].map((name) => existsSync(name));

  beforeEach(() => {
    folder = makeTemporaryFolder('with');
    before = elsewhere();
  });

  afterEach(() => {
    folder.remove();
    expect(elsewhere()).toEqual(before);
  });

  const path = (name: string): string => join(folder.path, name);
  /** Whatever engine there is, the script does not see it, and keeps its own in the folder. */
  const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
    ...process.env,
    DOCKER_HOST: `unix://${path('nobody')}`,
    TMPDIR: folder.path,
    ...more,
  });
  const withDocker = (command: readonly string[], more?: NodeJS.ProcessEnv): Promise<RunResult> =>
    runAny(process.execPath, [script, ...command], { env: environment(more) });
  /** Processes of an engine: its folder is on all their command lines. */
  const engineProcesses = (): string[] =>
    readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && commandLine(Number(pid)).includes(path('engine-')),
    );
  const engineFolders = (): string[] => readdirSync(folder.path).filter((name) => name.startsWith('engine-'));
  /** Starts a command that waits for ever, behind an engine; resolves with its pid once it runs. */
  const startWaiting = async (): Promise<{ child: Child; waiting: number }> => {
    const note = `echo $$ >${path('new')}; mv ${path('new')} ${path('pid')}; exec sleep 600`;
    const child = await startChild(process.execPath, [script, 'sh', '-c', note], { env: environment() });
    await waitUntil(() => existsSync(path('pid')), 60_000, 'the command behind the engine');
    expect(engineProcesses()).not.toEqual([]);
    return { child, waiting: Number(readFileSync(path('pid'), 'utf8')) };
  };

  it('runs a command beside an engine, passes its exit status on and leaves nothing', async () => {
    const ask =
      'import(process.argv[1]).then((it) => it.engineAnswers()).then((yes) => process.exit(yes ? 7 : 8))';
    const engineModule = fileURLToPath(new URL('../../scripts/engine.mjs', import.meta.url));
    const { code, stderr } = await withDocker([process.execPath, '-e', ask, engineModule]);
    expect([code, stderr]).toEqual([7, '']);
    expect([engineProcesses(), engineFolders()]).toEqual([[], []]);
  });

  it('stops the engine after a signal', async () => {
    const { child } = await startWaiting();
    child.kill('SIGTERM');
    expect(await child.exited).toEqual({ code: 143, signal: null });
    expect([engineProcesses(), engineFolders()]).toEqual([[], []]);
  });

  it('takes the engine along when it is killed', async () => {
    const { child, waiting } = await startWaiting();
    child.kill('SIGKILL');
    await child.exited;
    process.kill(waiting); // nobody is left who could
    await waitUntil(() => engineProcesses().length === 0, 30_000, 'the engine to end');
  });

  it('takes an engine that is there', async () => {
    const server = createServer((_, response) => response.end('OK')).listen(path('socket'));
    const host = `unix://${path('socket')}`;
    const { stdout } = await withDocker(['sh', '-c', 'echo $DOCKER_HOST'], { DOCKER_HOST: host });
    server.close();
    expect(stdout.trim()).toBe(host);
    expect(engineFolders()).toEqual([]);
  });

  it('says why there is no engine, and runs the command without', async () => {
    writeFileSync(path('dockerd'), '#!/bin/sh\necho "no room for an engine"\nexit 1\n', { mode: 0o755 });
    const PATH = `${folder.path}:${process.env['PATH'] ?? ''}`;
    const { code, stdout, stderr } = await withDocker(['sh', '-c', 'echo ran'], { PATH });
    expect([code, stdout]).toEqual([0, 'ran\n']);
    expect(stderr).toMatch(/No container engine: .*dockerd ended at once\nno room for an engine/);
    expect([engineProcesses(), engineFolders()]).toEqual([[], []]);
  });
});
