import { flag, type Option } from '../command-line/option.ts';

/** `--json`: what it prints, and how errors look with it. */
export function jsonOption(prints: string): Option<boolean> {
  return flag(`${prints}; an error is {"error": {"code", "reason", "message"}} on stderr`);
}
