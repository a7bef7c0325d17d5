/** Which rooms of a package may import from which. A room may always import from itself. */
export interface Layers {
  /** Files directly in `src` by the room they count as; all others there are `doors`. */
  readonly ground: readonly string[];
  /** For each room those below it; a room that is not listed has no rule yet, which is an error. */
  readonly rooms: Readonly<Record<string, readonly string[]>>;
  /**
   * What breaks a rule today, as `FROM -> TO`. It may only shrink: a line that is no longer needed fails the test.
   */
  readonly pending: readonly string[];
}

const NBD_GROUND = ['ground', 'protocol'];
const RPC_GROUND = ['ground', 'protocol', 'codec'];
const WORDS = ['words', 'ports', 'diagnostics'];

export const layers: Readonly<Record<string, Layers>> = {
  'nbd-client': {
    ground: ['abort-listeners.ts', 'arguments.ts', 'deadline.ts', 'errors.ts'],
    rooms: {
      protocol: [],
      ground: ['protocol'],
      transport: NBD_GROUND,
      commands: NBD_GROUND,
      diagnostics: [...NBD_GROUND, 'commands'],
      handshake: [...NBD_GROUND, 'diagnostics', 'transport'],
      transmission: [...NBD_GROUND, 'diagnostics', 'transport', 'commands'],
      streams: [...NBD_GROUND, 'transmission', 'commands'],
      doors: [...NBD_GROUND, 'commands', 'diagnostics', 'transport', 'handshake', 'transmission', 'streams'],
    },
    pending: [],
  },
  'libvirt-rpc': {
    ground: [
      'abort-listeners.ts',
      'diagnostics.ts',
      'errors.ts',
      'libvirt-error.ts',
      'line.ts',
      'parent.ts',
      'safe-number.ts',
      'sanitize.ts',
    ],
    rooms: {
      protocol: [],
      ground: ['protocol', 'codec'],
      codec: ['ground', 'protocol'],
      procedures: RPC_GROUND,
      uri: ['ground'],
      transports: ['ground', 'uri'],
      rpc: [...RPC_GROUND, 'procedures', 'transports'],
      auth: [...RPC_GROUND, 'procedures', 'transports', 'rpc'],
      streams: [...RPC_GROUND, 'procedures', 'transports', 'rpc'],
      events: [...RPC_GROUND, 'procedures', 'transports', 'rpc'],
      doors: [...RPC_GROUND, 'procedures', 'uri', 'transports', 'rpc', 'auth', 'streams', 'events'],
    },
    pending: [],
  },
  'backup-core': {
    ground: [],
    rooms: {
      words: [],
      diagnostics: ['words'],
      ports: ['words'],
      transfer: WORDS,
      // These two do not know each other.
      job: [...WORDS, 'transfer'],
      repository: [...WORDS, 'transfer'],
      protect: [...WORDS, 'transfer', 'job', 'repository'],
      restore: [...WORDS, 'transfer', 'job', 'repository'],
      // What a test of a user's own needs.
      testing: WORDS,
      // Only doors know adapters.
      adapters: WORDS,
      doors: [...WORDS, 'transfer', 'job', 'repository', 'protect', 'restore', 'testing', 'adapters'],
    },
    pending: [],
  },
  cli: {
    ground: ['output.ts', 'progress.ts', 'table.ts', 'explain.ts', 'visible.ts'],
    rooms: {
      ground: [],
      'command-line': ['ground'],
      commands: ['ground', 'command-line'],
      doors: ['ground', 'command-line', 'commands'],
    },
    pending: [],
  },
};

/** Who may import what that is not of the package itself, and who does all the same today. */
export interface Reserved {
  readonly title: string;
  readonly specifiers: RegExp;
  readonly packages: readonly string[];
  /** Paths below `packages`. */
  readonly allowed: RegExp;
  readonly pending: readonly string[];
}

const NOWHERE = /^$/;
const PACKAGES = Object.keys(layers);

export const reserved: readonly Reserved[] = [
  {
    title: 'the protocol packages import nothing but Node itself',
    specifiers: /^(?!node:)/,
    packages: ['nbd-client', 'libvirt-rpc'],
    allowed: NOWHERE,
    pending: [],
  },
  {
    title: 'backup-core reaches the protocol packages only through its adapters',
    specifiers: /^(nbd-ts-client|libvirt-ts-rpc)/,
    packages: ['backup-core'],
    allowed: /\/adapters\//,
    pending: [],
  },
  {
    title: 'only adapters of backup-core touch files',
    specifiers: /^node:fs/,
    packages: ['backup-core'],
    allowed: /\/adapters\//,
    pending: [],
  },
  {
    title: 'only adapters of backup-core touch XML',
    specifiers: /xml/,
    packages: ['backup-core'],
    allowed: /\/adapters\//,
    pending: [],
  },
  {
    title: 'only the dialling files of the protocol packages touch node:net and node:tls',
    specifiers: /^node:(net|tls)$/,
    packages: PACKAGES,
    allowed: /^nbd-client\/src\/(transport\/)?dial\.ts$|^libvirt-rpc\/src\/transports\/[\w-]+\.ts$/,
    pending: [],
  },
  {
    title: 'no package starts a process, but for the one file that starts ssh',
    specifiers: /^(node:)?child_process$/,
    packages: PACKAGES,
    allowed: /^libvirt-rpc\/src\/transports\/process-transport\.ts$/,
    pending: [],
  },
  {
    title: 'the commands use what everybody can: the packages by their names',
    specifiers: /^(?!node:|(libvirt-ts-backup(\/transfer)?|libvirt-ts-rpc|nbd-ts-client|cli-progress)$)/,
    packages: ['cli'],
    allowed: NOWHERE,
    pending: [],
  },
];
