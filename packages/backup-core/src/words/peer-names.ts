declare const checked: unique symbol;
type Checked<Name extends string> = string & { readonly [checked]: Name };

/** `<target dev>` of a disk, such as `vda`: letters, digits and `_`, safe as a part of a file name. */
export type DiskName = Checked<'DiskName'>;
/** A domain's UUID in canonical form, lower case. */
export type DomainUuid = Checked<'DomainUuid'>;
/** A checkpoint's name that is safe as a part of a file name. */
export type CheckpointName = Checked<'CheckpointName'>;

const DISK_NAME = /^[A-Za-z][A-Za-z0-9_]{0,31}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const CHECKPOINT_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,199}$/;

// The only ways from a peer's text to a name that may become part of a path, an argument or a key. Each returns
// undefined for anything else: whoever asks says what that means.

/** @returns undefined unless the text is a disk's target */
export function diskName(text: string): DiskName | undefined {
  return DISK_NAME.test(text) ? (text as DiskName) : undefined;
}

/** @returns undefined unless the text is a UUID in canonical form */
export function domainUuid(text: string): DomainUuid | undefined {
  const lower = text.toLowerCase();
  return UUID.test(lower) ? (lower as DomainUuid) : undefined;
}

/** @returns undefined unless the text is a name that a checkpoint may have here */
export function checkpointName(text: string): CheckpointName | undefined {
  return CHECKPOINT_NAME.test(text) ? (text as CheckpointName) : undefined;
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;
const MAX_SHOWN_CHARACTERS = 200;

/** A message that may hold text of peers: nothing in it is a command for a terminal. Lines stay. */
export function harmless(message: string): string {
  return message.replaceAll(UNPRINTABLE, (character) => (character === '\n' ? character : '\uFFFD'));
}

/** A peer's text for a message: no control characters, no direction marks, not endless. */
export function shown(text: string): string {
  const clean = text.replaceAll(UNPRINTABLE, '\uFFFD');
  return clean.length <= MAX_SHOWN_CHARACTERS ? clean : `${clean.slice(0, MAX_SHOWN_CHARACTERS)}…`;
}
