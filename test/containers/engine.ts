import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ContainerRuntimeClient, getContainerRuntimeClient } from 'testcontainers';
import { isRunning, requireServers, run } from '../harness/index.ts';
import { readProcess } from '../harness/proc-table.ts';
import { callAtEnd } from '../harness/registry.ts';

/** On everything that the tests make in an engine; the value is `PID-STARTTIME` of the process that made it. */
const OWNER_LABEL = 'libvirt-ts-backup.test-process';

export type Engine = ContainerRuntimeClient;

/** To be used as `describe.skipIf(containers.skip)(containers.title('…'), …)`. */
export interface ContainerRequirement {
  readonly skip: boolean;
  /** The title, followed by the reason when the tests are skipped. */
  title(name: string): string;
  /** The engine. Throws when the tests are skipped. */
  readonly engine: Engine;
}

/**
 * Asks for a container engine of this machine and the commands its image is made of. Where one is missing the
 * tests are skipped, with the reason in the title and on stderr; where REQUIRE_SERVERS=1 that is an error.
 */
export async function requireContainers(...commands: readonly string[]): Promise<ContainerRequirement> {
  const servers = requireServers(...commands, 'ldd');
  const engine = await findEngine();
  const lacks = [...servers.missing, ...(engine === undefined ? ['container engine that answers'] : [])];
  if (lacks.length > 0 && process.env['REQUIRE_SERVERS'] === '1')
    throw new Error(`REQUIRE_SERVERS=1, but there is no ${lacks.join(', no ')}`);
  const reason = `skipped: no ${lacks.join(', no ')}`;
  const skip = lacks.length > 0;
  if (skip) process.stderr.write(`container tests ${reason}\n`);
  return {
    skip,
    title: (name) => (skip ? `${name} (${reason})` : name),
    get engine(): Engine {
      if (engine === undefined) throw new Error(reason);
      return engine;
    },
  };
}

/** Only one with a unix socket is surely on this machine, where the images are. */
async function findEngine(): Promise<Engine | undefined> {
  try {
    const engine = await getContainerRuntimeClient();
    return socketOf(engine) === undefined ? undefined : engine;
  } catch {
    return undefined;
  }
}

function socketOf(engine: Engine): string | undefined {
  return (engine.container.dockerode.modem as { readonly socketPath?: string }).socketPath;
}

const OWN = `${process.pid}-${readProcess(process.pid)?.startTime ?? ''}`;

/** Labels for what this process makes in an engine. */
export function ownLabels(): Record<string, string> {
  return { [OWNER_LABEL]: OWN };
}

/** Removes what this process has made in an engine when disposed of, and at the latest when the process ends. */
export function removeOwnLater(engine: Engine): AsyncDisposable {
  const args = removal(engine, [OWN]);
  const takeBack = callAtEnd(() => {
    spawnSync(process.execPath, args, { stdio: 'ignore' });
  });
  // A test runner that is killed leaves its workers behind, which would go on.
  process.once('disconnect', endNow);
  return {
    [Symbol.asyncDispose]: async () => {
      await run(process.execPath, args);
      takeBack();
      process.removeListener('disconnect', endNow);
    },
  };
}

function endNow(): void {
  process.kill(process.pid, 'SIGTERM');
}

/** Removes what processes have made that ended without having removed it. */
export async function removeStale(engine: Engine): Promise<void> {
  const { dockerode } = engine.container;
  const filters = { label: [OWNER_LABEL] };
  const things = [
    ...(await dockerode.listContainers({ all: true, filters })),
    ...(await dockerode.listNetworks({ filters })),
    ...(await dockerode.listImages({ filters })),
  ];
  const owners = new Set(things.map(({ Labels }) => Labels?.[OWNER_LABEL] ?? ''));
  const stale = [...owners].filter((owner) => {
    const [pid, startTime] = owner.split('-');
    return !isRunning(Number(pid), startTime);
  });
  if (stale.length > 0) await run(process.execPath, removal(engine, stale));
}

function removal(engine: Engine, owners: readonly string[]): string[] {
  const script = fileURLToPath(new URL('remove.mjs', import.meta.url));
  return [script, `unix://${socketOf(engine) ?? ''}`, ...owners.map((owner) => `${OWNER_LABEL}=${owner}`)];
}
