import { shapeOf } from '../../packages/libvirt-rpc/src/codec/shape.ts';
import { structs } from '../../packages/libvirt-rpc/src/codec/structs.ts';
import type { MessageRow, Procedure } from '../../packages/libvirt-rpc/src/procedures/row.ts';
import { PROGRAMS, virTypedParameterType } from '../../packages/libvirt-rpc/src/protocol/constants.ts';
import { REMOTE_STRING_MAX } from '../../packages/libvirt-rpc/src/protocol/limits.ts';

/** A protocol that nobody speaks, in the language and with the notes of the real one. */
export const LAMPS = `
%#include "lamps.h"
const REMOTE_STRING_MAX = 4194304;
const ROOMS_MAX = 16;
const LABEL_MAX = VIR_LABEL_BUFLEN;
typedef string remote_text<REMOTE_STRING_MAX>;
typedef remote_text *remote_maybe_text;
typedef opaque remote_uuid[VIR_UUID_BUFLEN];
enum remote_lamp_kind { LAMP_CANDLE = 0, LAMP_BULB = 0x1 };
struct remote_nonnull_domain { remote_text name; remote_uuid uuid; int id; };
struct remote_nonnull_network { remote_text name; remote_uuid uuid; };
typedef remote_nonnull_network *remote_network;
struct remote_error { int code; remote_maybe_text text; };
union remote_value switch (int type) {
  case VIR_TYPED_PARAM_INT: int i;
  case VIR_TYPED_PARAM_UINT: unsigned int ui;
  case VIR_TYPED_PARAM_LLONG: hyper l;
  case VIR_TYPED_PARAM_ULLONG: unsigned hyper ul;
  case VIR_TYPED_PARAM_DOUBLE: double d;
  case VIR_TYPED_PARAM_BOOLEAN: int b;
  case VIR_TYPED_PARAM_STRING: remote_text s;
};
struct remote_typed_param { remote_text field; remote_value value; };
struct remote_lamp_switch_args {
  remote_nonnull_domain dom;
  remote_text room_name; /* of the lamp */
  remote_text colour;
  unsigned hyper from;
  unsigned hyper until;
  remote_network net;
  remote_lamp_kind kind;
};
struct remote_lamp_switch_ret {
  unsigned char state;
  opaque serial<8>;
  opaque seal[4];
  char label<LABEL_MAX>;
  char model[32];
  int is_on;
};
struct remote_lamp_list_ret { remote_text rooms<ROOMS_MAX>; remote_typed_param params<2>; };
struct remote_lamp_burnt_msg { remote_nonnull_domain dom; int how; };
struct remote_lamp_callback_burnt_msg { int callbackID; remote_lamp_burnt_msg msg; };
const REMOTE_PROGRAM = 0x20008086;
enum remote_procedure {
  /* Every one has notes:
   * - @priority: low|high
   */
  /**
   * @generate: both
   * @priority: high
   */
  REMOTE_PROC_LAMP_SWITCH = 1,
  /** @generate: both */
  REMOTE_PROC_LAMP_LIST = 2,
  /** @generate: both */
  REMOTE_PROC_LAMP_CALLBACK_BURNT = 3,
  /** @generate: none */
  REMOTE_PROC_LAMP_OPEN = 4,
  /**
   * @generate: both
   * @readstream: 1
   */
  REMOTE_PROC_LAMP_WATCH = 5
};
`;

const QEMU = `
struct qemu_lamp_blow_args { unsigned short times; };
const QEMU_PROGRAM = 0x20008087;
enum qemu_procedure {
  /** @generate: both */
  QEMU_PROC_LAMP_BLOW = 1
};
`;

/** A source tree of it: files by path. */
export const TREE: Readonly<Record<string, string>> = {
  'src/remote/remote_protocol.x': LAMPS,
  'src/remote/qemu_protocol.x': QEMU,
  'src/remote/remote_driver.c': `
    static int callFull(int proc);
    if (callFull(conn, priv, 0, fds, nfds,
                 REMOTE_PROC_LAMP_OPEN, args) < 0) {
    call(conn, REMOTE_PROC_LAMP_LIST);`,
  'include/libvirt/lamps.h': '# define VIR_LABEL_BUFLEN (64 + 1)\n#define VIR_UUID_BUFLEN (16)\n',
  'include/libvirt/virterror.h': 'VIR_ERR_DARK = 1, /* no light */\nVIR_FROM_LAMP = 7,\n',
  'include/libvirt/common.h.in': Object.entries(virTypedParameterType)
    .map(([name, value]) => `${name} = ${value},`)
    .join('\n'),
};

export const switchLamp = {
  name: 'REMOTE_PROC_LAMP_SWITCH',
  program: 'REMOTE',
  number: 1,
  args: {
    dom: 'domain',
    roomName: 'str',
    colour: 'str',
    from: 'u64',
    until: 'u64',
    net: 'network?',
    kind: 'i32',
  },
  reply: {
    state: 'uchar',
    serial: 'opaque[8]',
    seal: 'opaque{4}',
    label: 'char[65]',
    model: 'char{32}',
    isOn: 'bool',
  },
  priority: 'high',
} as const satisfies Procedure;
export const listLamps = {
  name: 'REMOTE_PROC_LAMP_LIST',
  program: 'REMOTE',
  number: 2,
  args: {},
  reply: { rooms: 'str[16]', params: 'param[2]' },
} as const satisfies Procedure;
export const openLamp: Procedure = {
  name: 'REMOTE_PROC_LAMP_OPEN',
  program: 'REMOTE',
  number: 4,
  args: {},
  reply: {},
  fileDescriptors: true,
};
export const watchLamp: Procedure = {
  name: 'REMOTE_PROC_LAMP_WATCH',
  program: 'REMOTE',
  number: 5,
  args: {},
  reply: {},
  stream: 'duplex',
};
export const blowLamp: Procedure = {
  name: 'QEMU_PROC_LAMP_BLOW',
  program: 'QEMU',
  number: 1,
  args: { times: 'ushort' },
  reply: {},
};
export const burntLamp = {
  name: 'REMOTE_PROC_LAMP_CALLBACK_BURNT',
  program: 'REMOTE',
  number: 3,
  payload: { callbackID: 'i32', dom: 'domain', how: 'i32' },
} as const satisfies MessageRow;

/** What the check compares, as the package has it. */
export interface Tables {
  readonly procedures: readonly Procedure[];
  readonly messages: readonly MessageRow[];
  readonly [other: string]: unknown;
}

export const tables: Tables = {
  procedures: [switchLamp, listLamps, openLamp, watchLamp, blowLamp],
  messages: [burntLamp],
  errorNumbers: { VIR_ERR_DARK: 1, VIR_FROM_LAMP: 7, VIR_ERR_TOO_BRIGHT: 2 },
  errorFields: { code: 'i32', text: 'str?' },
  shapeOf,
  structs,
  virTypedParameterType,
  PROGRAMS,
  REMOTE_STRING_MAX,
};
