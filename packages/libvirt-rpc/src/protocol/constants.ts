/** Programs of the libvirt socket, all of version 1. */
export const PROGRAMS = {
  REMOTE: 0x20008086,
  QEMU: 0x20008087,
  LXC: 0x00068000,
  KEEPALIVE: 0x6b656570,
} as const;

export const PROGRAM_VERSION = 1;

/** The message types of a packet header. */
export const virNetMessageType = {
  VIR_NET_CALL: 0,
  VIR_NET_REPLY: 1,
  VIR_NET_MESSAGE: 2,
  VIR_NET_STREAM: 3,
  VIR_NET_CALL_WITH_FDS: 4,
  VIR_NET_REPLY_WITH_FDS: 5,
  VIR_NET_STREAM_HOLE: 6,
} as const;

/** The status of a packet header; CONTINUE occurs in streams only. */
export const virNetMessageStatus = {
  VIR_NET_OK: 0,
  VIR_NET_ERROR: 1,
  VIR_NET_CONTINUE: 2,
} as const;

/** Procedures of the keepalive program: messages without payload. */
export const KEEPALIVE_PROC = { KEEPALIVE_PROC_PING: 1, KEEPALIVE_PROC_PONG: 2 } as const;

/** Answers to AUTH_LIST. */
export const REMOTE_AUTH = { REMOTE_AUTH_NONE: 0, REMOTE_AUTH_SASL: 1, REMOTE_AUTH_POLKIT: 2 } as const;

/** Features for CONNECT_SUPPORTS_FEATURE that concern the protocol itself. */
export const VIR_DRV_FEATURE = {
  /** Asking for it switches the daemon's own keepalive on for this connection. */
  VIR_DRV_FEATURE_PROGRAM_KEEPALIVE: 10,
  VIR_DRV_FEATURE_REMOTE_EVENT_CALLBACK: 14,
  VIR_DRV_FEATURE_REMOTE_CLOSE_CALLBACK: 15,
} as const;

/** The type of a typed parameter, as it stands on the wire. */
export const virTypedParameterType = {
  VIR_TYPED_PARAM_INT: 1,
  VIR_TYPED_PARAM_UINT: 2,
  VIR_TYPED_PARAM_LLONG: 3,
  VIR_TYPED_PARAM_ULLONG: 4,
  VIR_TYPED_PARAM_DOUBLE: 5,
  VIR_TYPED_PARAM_BOOLEAN: 6,
  VIR_TYPED_PARAM_STRING: 7,
} as const;

/** Flags of CONNECT_OPEN. */
export const virConnectFlags = { VIR_CONNECT_RO: 1 } as const;
