/**
 * Text from elsewhere for a terminal: what that would take for a command, or for another direction of writing, is
 * escaped as JSON has it, so that JSON stays what it was. Lines stay.
 */
export function visible(text: string): string {
  return text.replaceAll(/[^\n\P{Cc}]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => escaped(character.charCodeAt(index))).join(''),
  );
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}
