/** What the handshake agreed on: it decides the headers of requests and replies. */
export type HeaderStyle = 'simple' | 'structured' | 'extended';
