import { type ContainerRuntimeClient, getContainerRuntimeClient } from 'testcontainers';
import { isRunning, requireServers } from '../harness/index.ts';
import { readProcess } from '../harness/proc-table.ts';

/** On everything that the tests make in an engine; the value is `PID-STARTTIME` of the process that made it. */
const OWNER_LABEL = 'libvirt-ts-backup.test-process';

export type Engine = ContainerRuntimeClient;

type Labels = Readonly<Record<string, string>>;

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

async function findEngine(): Promise<Engine | undefined> {
  try {
    return await getContainerRuntimeClient();
  } catch {
    return undefined;
  }
}

/** Labels for what this process makes in an engine. */
export function ownLabels(): Record<string, string> {
  return { [OWNER_LABEL]: `${process.pid}-${readProcess(process.pid)?.startTime ?? ''}` };
}

/**
 * Removes everything with our label: what this process has made, and what a run that was killed could not
 * remove. What belongs to another running process stays.
 */
export async function removeOwn(engine: Engine): Promise<void> {
  const { dockerode } = engine.container;
  const filters = { label: [OWNER_LABEL] };
  const isOurs = ({ Labels }: { readonly Labels?: Labels | undefined }): boolean => {
    const [pid, startTime] = (Labels?.[OWNER_LABEL] ?? '').split('-');
    return Number(pid) === process.pid || !isRunning(Number(pid), startTime);
  };
  for (const container of (await dockerode.listContainers({ all: true, filters })).filter(isOurs))
    await dockerode.getContainer(container.Id).remove({ force: true, v: true });
  for (const network of (await dockerode.listNetworks({ filters })).filter(isOurs))
    await dockerode.getNetwork(network.Id).remove();
  for (const image of (await dockerode.listImages({ filters })).filter(isOurs))
    await dockerode.getImage(image.Id).remove({ force: true });
}
