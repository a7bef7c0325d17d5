export type { Extent } from './commands/command.ts';
export type { BlockStatus } from './commands/status-command.ts';
export { connect, connectPool, exportInfo, listExports, listMetaContexts } from './connect.ts';
export type { ConnectOptions, MetaContextOptions, PoolOptions, ReconnectOptions } from './connect-options.ts';
export type { HandshakeOptions } from './handshake/handshake-options.ts';
export type { ExportInfo, ExportListing } from './handshake/ask-server.ts';
export { NbdPool } from './pool.ts';
export { NbdConnection } from './connection.ts';
export type { ClosedMessage, CommandTrace, ConnectTrace } from './diagnostics.ts';
export type { Address } from './transport/address.ts';
export type { Endpoint } from './transport/endpoint.ts';
export {
  type ConnectFailure,
  type NegotiationFailure,
  NbdCommandError,
  NbdConnectError,
  NbdConnectionClosedError,
  NbdError,
  NbdNegotiationError,
  NbdProtocolError,
  NbdTimeoutError,
  NbdTlsError,
  NbdUsageError,
  sanitize,
} from './errors.ts';
export { ExportFeatures } from './export-features.ts';
export type { ExtentsOptions } from './streams/extents.ts';
export type { BlockSize } from './handshake/option-messages.ts';
export {
  NBD_CMD,
  NBD_CMD_FLAG,
  NBD_DEFAULT_PORT,
  NBD_ERROR,
  NBD_FLAG,
  NBD_META_BASE_ALLOCATION,
  NBD_META_QEMU_ALLOCATION_DEPTH,
  NBD_META_QEMU_DIRTY_BITMAP,
  NBD_STATE_DIRTY,
  NBD_STATE_HOLE,
  NBD_OPT,
  NBD_REP,
  NBD_STATE_ZERO,
} from './protocol/constants.ts';
export type { HeaderStyle } from './protocol/header-style.ts';
export type { CloseInfo, CloseReason } from './transmission/close-info.ts';
export type { ConnectionStatistics } from './transmission/session.ts';
export type { PskOptions, TlsFiles, TlsOptions, X509Options } from './transport/tls-options.ts';
export type { ReadStreamOptions } from './streams/read-stream.ts';
export { parseNbdUri } from './transport/uri.ts';
export type { RestoreChunk, RestoreStreamOptions, WriteStreamOptions } from './streams/write-streams.ts';
export type {
  BlockStatusOptions,
  ChangeOptions,
  CommandOptions,
  ReadOptions,
  WriteZeroesOptions,
} from './commands/command-options.ts';
