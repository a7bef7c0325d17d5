/** What SASLprep (RFC 4013) removes, replaces or forbids, and what this Node's Unicode does not know. */
const CHANGED_OR_FORBIDDEN =
  /[\p{C}\p{Default_Ignorable_Code_Point}\u1806\ufffc\ufffd\u2ff0-\u2ffb]|(?! )\p{Z}/u;

/** The blocks of right-to-left scripts, for which SASLprep has rules that need tables. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Whether SASLprep certainly leaves the text as it is. Anything else is ambiguous: RFC 5802 wants it prepared, but
 * the library that libvirt uses takes it unprepared.
 */
export function isPrepared(text: string): boolean {
  return !CHANGED_OR_FORBIDDEN.test(text) && !RIGHT_TO_LEFT.test(text) && text.normalize('NFKC') === text;
}
