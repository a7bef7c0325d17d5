import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BoundPorts, GenericContainer, type WaitStrategy } from 'testcontainers';
import { type Engine, ownLabels } from './engine.ts';

const NBD_PORT = 10809;
const START_TIMEOUT_MS = 20_000;

type EngineContainer = Parameters<WaitStrategy['waitUntilReady']>[0];

export interface NbdContainerOptions {
  readonly engine: Engine;
  readonly image: string;
  /** Id or name of the network the container is in. */
  readonly network: string;
  /** Program and arguments; it has to listen on port 10809 of all addresses. */
  readonly command: readonly string[];
  /** Folder of this machine that is /disks in the container, read-only. */
  readonly disks: string;
}

/** An NBD server in a container of its own, removed when disposed of. */
export interface NbdContainer extends AsyncDisposable {
  /** `nbd://HOST:PORT/EXPORT` by the port of this machine that leads into the container */
  uri(exportName?: string): string;
  /** `nbd://ADDRESS:10809/EXPORT` straight to the container's address in its network */
  directUri(exportName?: string): string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Freezes all processes; connections stay. */
  pause(): Promise<void>;
  unpause(): Promise<void>;
  /** Takes the container out of its network. */
  disconnect(): Promise<void>;
}

/** Starts a container and waits until its server greets. */
export async function startNbdContainer(options: NbdContainerOptions): Promise<NbdContainer> {
  const { engine, network } = options;
  const started = await new GenericContainer(options.image)
    .withAutoCleanup(false) // no reaper from a registry: the label finds it
    .withLabels(ownLabels())
    .withNetworkMode(network)
    .withBindMounts([{ source: options.disks, target: '/disks', mode: 'ro' }])
    .withExposedPorts(NBD_PORT)
    .withCommand([...options.command])
    .withWaitStrategy(new NbdGreeting(engine.info.containerRuntime.host))
    .start();
  const container = engine.container.getById(started.getId());
  const { dockerode } = engine.container;
  const address = started.getIpAddress(network);
  return {
    uri: (name = '') => `nbd://${started.getHost()}:${started.getMappedPort(NBD_PORT)}/${name}`,
    directUri: (name = '') => `nbd://${address}:${NBD_PORT}/${name}`,
    kill: async () => {
      await container.kill();
    },
    pause: async () => {
      await container.pause();
    },
    unpause: async () => {
      await container.unpause();
    },
    disconnect: async () => {
      await dockerode.getNetwork(network).disconnect({ Container: container.id, Force: true });
    },
    [Symbol.asyncDispose]: async () => {
      await container.remove({ force: true, v: true });
    },
  };
}

/**
 * Ready when the server greets: a published port takes connections long before anybody listens behind it, and
 * there is no shell in the container that could look.
 */
class NbdGreeting implements WaitStrategy {
  readonly #host: string;
  #timeoutMs: number | undefined;

  constructor(host: string) {
    this.#host = host;
  }

  async waitUntilReady(container: EngineContainer, boundPorts: BoundPorts): Promise<void> {
    const port = boundPorts.getBinding(NBD_PORT);
    const deadline = Date.now() + this.getStartupTimeout();
    while (!(await greets(this.#host, port))) {
      const { State } = await container.inspect();
      const late = Date.now() > deadline;
      if (State.Running && !late) await sleep(50);
      else
        throw new Error(`the NBD server ${late ? 'does not greet' : 'has ended'}: ${await said(container)}`);
    }
  }

  withStartupTimeout(timeoutMs: number): this {
    this.#timeoutMs = timeoutMs;
    return this;
  }

  isStartupTimeoutSet(): boolean {
    return this.#timeoutMs !== undefined;
  }

  getStartupTimeout(): number {
    return this.#timeoutMs ?? START_TIMEOUT_MS;
  }
}

function greets(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const settle = (greeted: boolean) => (): void => {
      socket.destroy();
      resolve(greeted);
    };
    socket.once('data', (bytes) => {
      settle(bytes.toString('latin1').startsWith('NBDMAGIC'))();
    });
    for (const event of ['error', 'end', 'timeout']) socket.once(event, settle(false));
  });
}

async function said(container: EngineContainer): Promise<string> {
  const log = await container.logs({ stdout: true, stderr: true });
  // Each piece of the log has a binary header.
  return log
    .toString()
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
}
