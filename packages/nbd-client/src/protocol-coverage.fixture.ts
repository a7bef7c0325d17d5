import type * as constants from './protocol/constants.ts';

/** One part of the protocol: what this package does with it and which tests show that, or why it does not. */
export type Entry =
  { readonly does: string; readonly tests: readonly string[] } | { readonly notSupported: string };

const does = (what: string, ...tests: string[]): Entry => ({ does: what, tests });

/** Every value of a table of constants: one that is added there and not here does not compile. */
type Table<Values> = Readonly<Record<keyof Values & string, Entry>>;

type TableName =
  | 'NBD_OPT'
  | 'NBD_REP'
  | 'NBD_INFO'
  | 'NBD_FLAG'
  | 'NBD_CMD'
  | 'NBD_CMD_FLAG'
  | 'NBD_REPLY_TYPE'
  | 'NBD_ERROR';

/** Constants that stand alone. */
type Single = Exclude<keyof typeof constants, TableName | 'isErrorReply' | 'nameOf'>;

const ORDER = 'open-export.test.ts › extended headers, structured replies, contexts, then the export';
const CHANGES = 'changes.test.ts › each change is sent as the specification has it';
const REFUSED = 'changes.test.ts › that the export does not take are found before anything is sent';
const POOL = 'features.test.ts › knows what its connections know, and adds up what they did';
const REFUSAL = 'ask-server.test.ts › %s to option %i: an error with both, and a goodbye behind it';
const INTERLEAVED =
  'codec.test.ts › structured chunks that interleave give what they say, wherever they are cut';
const EXTENDED = 'codec.test.ts › extended chunks give what they say, wherever they are cut';
const SIMPLE = 'codec.test.ts › simple replies give what they say, wherever they are cut';
const COMPACT_REQUEST = 'codec.test.ts › compact';
const EXTENDED_REQUEST = 'codec.test.ts › extended, where a WRITE announces its payload';
const OPTION_BYTES = 'codec.test.ts › requests';
const REPLY_BYTES = 'codec.test.ts › replies';
const FILTER = 'features.test.ts › is asked with a payload where the server can filter';
const OLDSTYLE = 'open-export.test.ts › oldstyle: one export without name';
const NOT_FIXED = 'open-export.test.ts › %s: only NBD_OPT_EXPORT_NAME'.replace(
  '%s',
  'newstyle that is not fixed, %s',
);
const ALL_INFO = 'ask-server.test.ts › asks for everything, behind the best headers there are';
const ERRNO = 'errors of one command carry the value of the wire and its name';

const options: Table<typeof constants.NBD_OPT> = {
  EXPORT_NAME: does(
    'fall-back where the server is not fixed newstyle or does not know GO',
    NOT_FIXED,
    'open-export.test.ts › fixed newstyle without NBD_OPT_GO falls back to NBD_OPT_EXPORT_NAME',
    'open-export.test.ts › an export it does not have: the server hangs up, which says so',
  ),
  ABORT: does(
    'said after LIST, INFO and LIST_META_CONTEXT and after a refusal; waits a second for the end',
    'ask-server.test.ts › brings names and descriptions and says goodbye',
    'ask-server.test.ts › a server that just hangs up at the goodbye, or does not even do that, is left',
  ),
  LIST: does(
    '`listExports`',
    'ask-server.test.ts › brings names and descriptions and says goodbye',
    'ask-server.test.ts › is refused by policy: an error that says so, after a goodbye',
  ),
  STARTTLS: does(
    'first of all where TLS is asked for; everything is negotiated behind it',
    'tls.test.ts › T6 everything is negotiated behind it',
  ),
  INFO: does('`exportInfo`', ALL_INFO),
  GO: does(
    'opens an export, asking for its block sizes',
    ORDER,
    'open-export.test.ts › extended headers without NBD_OPT_GO are an error: there is no way back from them',
  ),
  STRUCTURED_REPLY: does('asked for where extended headers are refused', ORDER),
  LIST_META_CONTEXT: does(
    '`listMetaContexts`, with queries; `exportInfo`',
    'ask-server.test.ts › lists all, or what fits a query',
    'ask-server.test.ts › asks QEMU 3.0 for its own contexts, which it lists only then',
    'ask-server.test.ts › discards what came before an error',
  ),
  SET_META_CONTEXT: does(
    'selects `metaContexts`, once, for the export that is opened',
    ORDER,
    'ask-server.test.ts › metadata contexts that the server does not know are not selected; no status can be asked then',
  ),
  EXTENDED_HEADERS: does(
    'asked for first; `extendedHeaders: false` leaves it out',
    'open-export.test.ts › nothing behind extended headers where those are known',
    'open-export.test.ts › no extended headers where they are not wanted, no contexts where none are',
  ),
};

const optionReplies: Table<typeof constants.NBD_REP> = {
  ACK: does('must be empty', ORDER, 'hostile-handshake.test.ts › H37 an ACK with a payload'),
  SERVER: does('only to LIST', 'ask-server.test.ts › brings names and descriptions and says goodbye'),
  INFO: does('only to INFO and GO', ALL_INFO),
  META_CONTEXT: does('only to LIST_META_CONTEXT and SET_META_CONTEXT', REPLY_BYTES),
  ERR_UNSUP: does('falls back, or `NbdNegotiationError`', ORDER),
  ERR_POLICY: does(
    'as any refusal: falls back, or `NbdNegotiationError`; of STARTTLS `NbdTlsError`',
    'ask-server.test.ts › is refused by policy: an error that says so, after a goodbye',
    'tls.test.ts › T1 is refused by policy',
  ),
  ERR_INVALID: does('as ERR_POLICY', REFUSAL),
  ERR_PLATFORM: does('as ERR_POLICY', REFUSAL),
  ERR_TLS_REQD: does('ends the negotiation: `NbdNegotiationError`', REFUSAL),
  ERR_UNKNOWN: does('`NbdNegotiationError` with what the server said', REFUSAL),
  ERR_SHUTDOWN: does('ends the negotiation with a goodbye, whatever was asked', REFUSAL),
  ERR_BLOCK_SIZE_REQD: does('`NbdNegotiationError`; block sizes are always asked for', REFUSAL),
  ERR_TOO_BIG: does('as ERR_POLICY', 'ask-server.test.ts › discards what came before an error'),
  ERR_EXT_HEADER_REQD: does('ends the negotiation: `NbdNegotiationError`', REFUSAL),
};

const infos: Table<typeof constants.NBD_INFO> = {
  EXPORT: does(
    'size and transmission flags; has to be there',
    ALL_INFO,
    'hostile-handshake.test.ts › H34 an acknowledged GO without size',
  ),
  NAME: does('`exportInfo`', ALL_INFO),
  DESCRIPTION: does('`exportInfo`', ALL_INFO),
  BLOCK_SIZE: does(
    'asked for and obeyed: alignment is checked before anything is sent, payloads are cut',
    REPLY_BYTES,
    'connection.test.ts › splits what is larger than the server takes, and asks for DF where that is known',
    'connection.test.ts › half a block',
    'hostile-handshake.test.ts › H36 block sizes that are none',
  ),
};

const transmissionFlags: Table<typeof constants.NBD_FLAG> = {
  HAS_FLAGS: does('has to be there', 'hostile-handshake.test.ts › H34 flags of 0'),
  READ_ONLY: does('`isReadOnly`; changes are usage errors', REFUSED),
  SEND_FLUSH: does('`canFlush`', CHANGES, REFUSED),
  SEND_FUA: does('`canFua`', CHANGES, REFUSED),
  ROTATIONAL: does('`isRotational`', POOL),
  SEND_TRIM: does('`canTrim`', CHANGES, REFUSED),
  SEND_WRITE_ZEROES: does('`canZero`', CHANGES, REFUSED),
  SEND_DF: does(
    '`canDf`; cleared without structured replies',
    'hostile-handshake.test.ts › H43 flags that promise too much for the headers: they are cleared',
  ),
  CAN_MULTI_CONN: does(
    '`canMultiConn`; without it a pool has one connection',
    POOL,
    'features.test.ts › is one connection where the server allows no more',
  ),
  SEND_RESIZE: { notSupported: 'an experiment of the specification; the bit is ignored' },
  SEND_CACHE: does('`canCache`', CHANGES, REFUSED),
  SEND_FAST_ZERO: does(
    '`canFastZero`; cleared without WRITE_ZEROES',
    CHANGES,
    'hostile-handshake.test.ts › H43 flags that promise too much for the headers: they are cleared',
  ),
  BLOCK_STATUS_PAYLOAD: does(
    '`canFilterStatus`; cleared without extended headers',
    FILTER,
    'hostile-handshake.test.ts › H43 flags that promise too much for the headers: they are cleared',
  ),
};

const commands: Table<typeof constants.NBD_CMD> = {
  READ: does(
    '`read`, `readInto`, `createReadStream`',
    'connection.test.ts › splits what is larger than the server takes, and asks for DF where that is known',
    'streams.test.ts › brings a range in order, reads ahead, and carries DF where it is asked to',
  ),
  WRITE: does(
    '`write`, `createWriteStream`, `createRestoreStream`',
    CHANGES,
    'streams.test.ts › writes several pieces at once and flushes behind the last one',
  ),
  DISC: does(
    '`close`, when nothing is under way any more',
    'connection.test.ts › close lets what is under way finish, says goodbye and refuses what comes after',
  ),
  FLUSH: does('`flush`', CHANGES),
  TRIM: does('`trim`', CHANGES),
  CACHE: does('`cache`, cut to the largest payload: QEMU takes no more', CHANGES),
  WRITE_ZEROES: does(
    '`writeZeroes`, `createRestoreStream`',
    CHANGES,
    'streams.test.ts › puts data and zeroes where they belong, %s',
  ),
  BLOCK_STATUS: does(
    '`blockStatus`, `extents`',
    'connection.test.ts › joins neighbours across replies, within a range',
    'extents.test.ts › in 2^20 extents, with %s headers: all of them, in memory that stays flat',
  ),
};

const commandFlags: Table<typeof constants.NBD_CMD_FLAG> = {
  FUA: does('option `fua` of WRITE, WRITE_ZEROES and TRIM', CHANGES, REFUSED),
  NO_HOLE: does('option `noHole` of `writeZeroes`', CHANGES),
  DF: does(
    'option `df` of reads; read again without it at EOVERFLOW',
    'connection.test.ts › splits what is larger than the server takes, and asks for DF where that is known',
    'features.test.ts › is repeated without it where the server cannot give so much in one piece',
    'hostile-read.test.ts › H06 two chunks in spite of DF: dead',
  ),
  REQ_ONE: does(
    'option `reqOne` of `blockStatus`',
    'features.test.ts › is picked from the whole answer where it cannot: %s',
    'hostile-status.test.ts › H30 two extents in spite of REQ_ONE: dead',
  ),
  FAST_ZERO: does('option `fastZero` of `writeZeroes`', CHANGES, REFUSED),
  PAYLOAD_LEN: does(
    'on every WRITE behind extended headers; on BLOCK_STATUS with option `contexts`',
    EXTENDED_REQUEST,
    FILTER,
  ),
};

const replyTypes: Table<typeof constants.NBD_REPLY_TYPE> = {
  NONE: does('must be empty and the last', CHANGES, 'hostile-read.test.ts › H11 NONE with a payload'),
  OFFSET_DATA: does('in any order, each byte exactly once', INTERLEAVED, EXTENDED),
  OFFSET_HOLE: does(
    'zeroes',
    INTERLEAVED,
    'hostile-read.test.ts › holes and data: fulfilled, holes are zeroes',
  ),
  BLOCK_STATUS: does('once for each context; not behind extended headers', INTERLEAVED),
  BLOCK_STATUS_EXT: does('once for each context; only behind extended headers', EXTENDED),
  ERROR: does(
    'fails the command; the first one counts',
    'codec.test.ts › an error is the same wherever it is cut',
    'hostile-read.test.ts › H39 an error',
  ),
  ERROR_OFFSET: does('as ERROR, with `errorOffset`', 'hostile-read.test.ts › an error at an offset inside'),
};

const errors: Table<typeof constants.NBD_ERROR> = {
  EPERM: does('`NbdCommandError`', `errors.test.ts › ${ERRNO}`),
  EIO: does('`NbdCommandError`', 'hostile-read.test.ts › H39 an error'),
  ENOMEM: does('`NbdCommandError`', `errors.test.ts › ${ERRNO}`),
  EINVAL: does(
    '`NbdCommandError`; so does any value that the protocol does not know',
    'hostile-status.test.ts › an error: this command fails',
    'hostile-read.test.ts › H14 an unknown errno',
  ),
  ENOSPC: does('`NbdCommandError`', 'changes.test.ts › fail alone'),
  EOVERFLOW: does(
    '`NbdCommandError`; a READ with DF is repeated without it',
    'features.test.ts › is repeated without it where the server cannot give so much in one piece',
  ),
  ENOTSUP: does('`NbdCommandError`', `errors.test.ts › ${ERRNO}`),
  ESHUTDOWN: does(
    '`NbdCommandError`; what waits is not sent, the connection is closed with a goodbye',
    'hostile-read.test.ts › H45 ESHUTDOWN: this command fails and the connection is left in peace',
    'hostile-read.test.ts › H45 ESHUTDOWN: what waits for room in the window is not sent any more',
  ),
};

const singles: Readonly<Record<Single, Entry>> = {
  NBD_MAGIC: does('greeting', OLDSTYLE, 'hostile-handshake.test.ts › no NBD greeting'),
  NBD_IHAVEOPT: does('newstyle greeting, options', OPTION_BYTES),
  NBD_OLDSTYLE_MAGIC: does('oldstyle greeting', OLDSTYLE),
  NBD_OPTION_REPLY_MAGIC: does('option replies', 'hostile-handshake.test.ts › H37 a wrong reply magic'),
  NBD_REQUEST_MAGIC: does('compact requests', COMPACT_REQUEST),
  NBD_EXTENDED_REQUEST_MAGIC: does('extended requests', EXTENDED_REQUEST),
  NBD_SIMPLE_REPLY_MAGIC: does('simple replies', SIMPLE),
  NBD_STRUCTURED_REPLY_MAGIC: does('structured replies', INTERLEAVED),
  NBD_EXTENDED_REPLY_MAGIC: does('extended replies', EXTENDED),
  NBD_FLAG_FIXED_NEWSTYLE: does('without it only EXPORT_NAME is sent', NOT_FIXED),
  NBD_FLAG_NO_ZEROES: does('no padding behind EXPORT_NAME', NOT_FIXED),
  NBD_FLAG_C_FIXED_NEWSTYLE: does('echoed', ORDER),
  NBD_FLAG_C_NO_ZEROES: does('echoed', NOT_FIXED),
  NBD_REPLY_FLAG_DONE: does(
    'ends a reply; other chunk flags are ignored',
    'hostile-read.test.ts › H20 one-sector chunks in reverse order, H21 with unknown flag bits: fulfilled',
  ),
  NBD_STATE_HOLE: does(
    'passed on as it is',
    'hostile-status.test.ts › H31 HOLE without ZERO and unknown bits: the flags come as they are, only ZERO promises zeroes',
  ),
  NBD_STATE_ZERO: does('passed on as it is', INTERLEAVED),
  NBD_STATE_DIRTY: does(
    'passed on as it is',
    'extents.test.ts › in 2^20 extents, with %s headers: all of them, in memory that stays flat',
  ),
  NBD_META_BASE_ALLOCATION: does('any context can be selected', ORDER),
  NBD_META_QEMU_DIRTY_BITMAP: does('any context can be selected', FILTER),
  NBD_META_QEMU_ALLOCATION_DEPTH: does(
    'any context can be selected; its value is the flags of an extent',
    'hostile-status.test.ts › H32 of another context: part of the value',
  ),
  NBD_DEFAULT_PORT: does('where none is given', 'uri.test.ts › nbd://localhost'),
};

/** In the specification, and not among the constants. */
const leftOut: Readonly<Record<string, Entry>> = {
  NBD_OPT_PEEK_EXPORT: { notSupported: 'withdrawn from the specification' },
  NBD_CMD_RESIZE: { notSupported: 'an experiment of the specification' },
  'tls-type=anon': { notSupported: 'encryption without knowing with whom' },
  'nbd+vsock, nbd+ssh': { notSupported: 'Node has no such sockets; no process is started for a URI' },
};

/** A chapter of docs/protocol-coverage.md: its title, what stands before each name, and its entries. */
export interface Chapter {
  readonly title: string;
  readonly prefix: string;
  readonly entries: Readonly<Record<string, Entry>>;
}

export const chapters: readonly Chapter[] = [
  { title: 'Options', prefix: 'NBD_OPT_', entries: options },
  { title: 'Option replies', prefix: 'NBD_REP_', entries: optionReplies },
  { title: 'Information', prefix: 'NBD_INFO_', entries: infos },
  { title: 'Transmission flags', prefix: 'NBD_FLAG_', entries: transmissionFlags },
  { title: 'Commands', prefix: 'NBD_CMD_', entries: commands },
  { title: 'Command flags', prefix: 'NBD_CMD_FLAG_', entries: commandFlags },
  { title: 'Reply chunks', prefix: 'NBD_REPLY_TYPE_', entries: replyTypes },
  { title: 'Error values', prefix: 'NBD_', entries: errors },
  { title: 'Magics, handshake flags, contexts', prefix: '', entries: singles },
  { title: 'Left out', prefix: '', entries: leftOut },
];
