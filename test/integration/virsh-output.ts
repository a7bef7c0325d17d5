/** One thing that both virsh and we can tell. */
export interface Comparison<World> {
  /** The arguments of virsh. */
  readonly virsh: string;
  /** What of its output counts; default: all of it, without white space at both ends. */
  readonly theirs?: (output: string) => unknown;
  readonly ours: (world: World) => Promise<unknown>;
}

/** `Name:  value` lines, of which those named. */
export const fields =
  (...names: readonly string[]) =>
  (output: string): Record<string, string> =>
    Object.fromEntries(
      output
        .split('\n')
        .map((line): [string, string] => [
          line.slice(0, line.indexOf(':')).trim(),
          line.slice(line.indexOf(':') + 1).trim(),
        ])
        .filter(([name]) => names.includes(name)),
    );

export const lines = (output: string): string[] => output.split('\n').filter((line) => line !== '');
export const columns = (output: string): string[][] =>
  lines(output).map((line) => line.trim().split(/\s{2,}/));

export const byName = <T extends { readonly name: string }>(items: readonly T[]): T[] =>
  [...items].sort((one, other) => one.name.localeCompare(other.name));
