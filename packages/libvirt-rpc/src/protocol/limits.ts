/** Bytes of the length word that precedes every packet; the length it holds includes them. */
export const VIR_NET_MESSAGE_LEN_MAX = 4;

/** Bytes of the header: program, version, procedure, type, serial, status. */
export const VIR_NET_MESSAGE_HEADER_MAX = 24;

/** The longest packet, without its length word. */
export const VIR_NET_MESSAGE_MAX = 33_554_432;

/** The longest payload of a packet. */
export const VIR_NET_MESSAGE_PAYLOAD_MAX: number = VIR_NET_MESSAGE_MAX - VIR_NET_MESSAGE_HEADER_MAX;

/** The longest payload that daemons of every age take; data of streams is cut to it. */
export const STREAM_PAYLOAD_MAX = 262_120;

/**
 * Of a stream's data before the reply to its call: it is kept, because nothing can be held back while the reply is
 * due. A packet is counted with what it takes besides its bytes.
 */
export const EARLY_STREAM_MAX = 33_554_432;
export const EARLY_PACKET_COST = 256;

/** The longest string, in bytes of UTF-8. */
export const REMOTE_STRING_MAX = 4_194_304;

/** The iteration counts that a SCRAM server may ask for: RFC 7677's least, and more than stores use. */
export const MIN_SCRAM_ITERATIONS = 4_096;
export const MAX_SCRAM_ITERATIONS = 2_000_000;

/** The values that the length word may have. */
export const MIN_PACKET_LENGTH: number = VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_HEADER_MAX;
export const MAX_PACKET_LENGTH: number = VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_MAX;

/**
 * Calls on the wire at once. A daemon with its default `max_client_requests = 5` stops reading from a client,
 * keepalive included, while five of its calls are under way.
 */
export const MAX_CALLS_IN_FLIGHT = 4;

/** Of these, how many only high-priority procedures may use: they are served even if all workers are busy. */
export const URGENT_CALL_SLOTS = 1;
