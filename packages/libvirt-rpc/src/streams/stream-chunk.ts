/** A part of a sparse stream: bytes, or as many zeroes that are not sent. */
export type StreamChunk =
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  | {
      readonly type: 'hole';
      /** In bytes. */
      readonly length: number;
    };
