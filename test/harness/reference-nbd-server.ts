import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { isListening, runningServer, type NbdServer, type NbdTransport } from './nbd-servers.ts';
import { isRunning, processesWithEnvironmentBelow, readProcess } from './proc-table.ts';
import { endProcesses, runAny, waitUntil } from './processes.ts';
import { forgetChild, rememberChild } from './registry.ts';
import { commandPath } from './requirements.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';
import { unprivilegedUser } from './user.ts';

const START_TIMEOUT_MS = 10_000;
const PORT_ATTEMPTS = 5;

/** One section of its configuration. The file has to be within reach of `unprivilegedUser`. */
export interface ReferenceExport {
  readonly name: string;
  readonly path: string;
  /** Further settings: nbd-server(5). */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
}

export interface ReferenceServerOptions {
  readonly exports: readonly ReferenceExport[];
  /** Of the section `[generic]`, such as `allowlist` and `certfile`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Default tcp. */
  readonly transport?: NbdTransport;
}

/**
 * Starts nbd-server, the server of the NBD project itself, as an unprivileged user. It puts itself into the
 * background and makes a process of its own for every client; `stop` ends them all.
 */
export async function startReferenceServer(options: ReferenceServerOptions): Promise<NbdServer> {
  const { transport = 'tcp', exports } = options;
  const user = unprivilegedUser();
  const folder = makeTemporaryFolder('nbd');
  const home = folder.subfolder('home', user);
  const config = join(folder.path, 'config');
  const pidFile = join(home, 'pid');
  // Every process it makes inherits this, and is found by it.
  const env = { ...process.env, HOME: home };
  const stop = async (): Promise<void> => {
    await endProcesses(processesWithEnvironmentBelow(folder.path));
    folder.remove();
  };
  for (let attempt = 1; ; attempt++) {
    const address = { transport, path: join(home, 's'), port: transport === 'tcp' ? await freePort() : 0 };
    const listen =
      transport === 'tcp' ? { listenaddr: '127.0.0.1', port: address.port } : { unixsock: address.path };
    writeFileSync(
      config,
      [
        ...section('generic', { ...listen, ...options.settings }),
        ...exports.flatMap(({ name, path, settings }) => section(name, { exportname: path, ...settings })),
      ].join('\n'),
    );
    const started = await runAny(commandPath('nbd-server'), ['-C', config, '-p', pidFile], { env, user });
    try {
      if (started.code !== 0) throw new Error('nbd-server ended at once');
      await waitUntil(() => isListening(address), START_TIMEOUT_MS, 'nbd-server to listen');
    } catch (error) {
      // Somebody else may have taken the port between our look and the server's bind.
      if (transport === 'tcp' && attempt < PORT_ATTEMPTS && started.code === 0) continue;
      await stop();
      throw new Error(`${(error as Error).message}: ${started.stderr.trim()}`, { cause: error });
    }
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const startTime = readProcess(pid)?.startTime;
    rememberChild(pid, commandPath('nbd-server'), startTime);
    return runningServer(address, exports[0]?.name ?? '', {
      pid,
      get isRunning(): boolean {
        return isRunning(pid, startTime);
      },
      output: () => started.stderr,
      kill: (signal) => {
        if (isRunning(pid, startTime)) process.kill(pid, signal);
      },
      async stop() {
        await stop();
        forgetChild(pid);
      },
    });
  }
}

function section(name: string, settings: Readonly<Record<string, string | number | boolean>>): string[] {
  return [`[${name}]`, ...Object.entries(settings).map(([key, value]) => `  ${key} = ${value}`)];
}
