import { abortSignal, type OptionCheck, positiveInteger } from '../words/check-options.ts';

/** How much of a disk is read ahead. */
export interface Window {
  /** Bytes asked for at once. */
  readonly requestBytes: number;
  /** Requests under way. */
  readonly inFlight: number;
}

/** The checks of the options of whatever reads ahead: anything else would read nothing, or never end. */
export const WINDOW_OPTIONS: Readonly<Record<'requestBytes' | 'inFlight' | 'signal', OptionCheck>> = {
  requestBytes: positiveInteger,
  inFlight: positiveInteger,
  signal: abortSignal,
};
