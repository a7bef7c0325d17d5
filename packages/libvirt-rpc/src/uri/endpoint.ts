/** Where the daemon is, and how one gets there. */
export type Endpoint = UnixEndpoint | TcpEndpoint | TlsEndpoint | SshEndpoint | ExtEndpoint;

export interface UnixEndpoint {
  readonly transport: 'unix';
  /** To be tried in this order. */
  readonly paths: readonly string[];
}

export interface TcpEndpoint {
  readonly transport: 'tcp';
  readonly host: string;
  readonly port: number;
}

export interface TlsEndpoint {
  readonly transport: 'tls';
  readonly host: string;
  readonly port: number;
  /** Whether the server's certificate is checked, the host's name included. */
  readonly verifies: boolean;
  /** Whether our own certificates are looked at before they are used. */
  readonly checksOwn: boolean;
  /** Where our certificates may be. */
  readonly pki: PkiLocation;
}

/** One folder given by the caller, or those of the user and the system. */
export type PkiLocation =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'user'; readonly home: string }
  | { readonly kind: 'system' };

export interface SshEndpoint {
  readonly transport: 'ssh';
  /** `ssh`, or what the caller has in its place. */
  readonly program: string;
  readonly host: string;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly keyFile: string | undefined;
  readonly knownHostsFile: string | undefined;
  /** Undefined: as ssh is configured. */
  readonly hostKeys: 'known' | 'accept-new' | 'unchecked' | undefined;
  /** In the order in which they are to be tried; undefined: as ssh is configured. */
  readonly methods: readonly SshMethod[] | undefined;
  /** ssh asks nobody for anything. */
  readonly isUnattended: boolean;
  readonly proxy: SshProxy;
  readonly readOnly: boolean;
}

export const SSH_METHODS = ['agent', 'privkey', 'password', 'keyboard-interactive'] as const;

export type SshMethod = (typeof SSH_METHODS)[number];

/** What runs on the other side and connects ssh with the daemon's socket. */
export type SshProxy =
  /** libvirt's own program, which finds the socket by itself. */
  | { readonly kind: 'native'; readonly uri: string }
  | { readonly kind: 'netcat'; readonly program: string; readonly socket: string }
  /** The first, if the host has it, else the second. */
  | { readonly kind: 'auto'; readonly uri: string; readonly program: string; readonly socket: string };

export interface ExtEndpoint {
  readonly transport: 'ext';
  /** A program that passes its standard input and output on to the daemon. */
  readonly command: string;
}
