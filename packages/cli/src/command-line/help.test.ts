import { describe, expect, it } from 'vitest';
import { commands } from '../commands.ts';
import { commandHelp, helpWidth } from './help.ts';

const names = Object.keys(commands);

describe('--help', () => {
  it('has commands to explain', () => {
    expect(names.length).toBeGreaterThan(5);
  });

  it.each(names)('%s: every option and argument, at any width', async (name) => {
    const command = (await commands[name]?.load()) ?? expect.fail();
    for (const width of [20, 40, 59, 60, 80, 100]) {
      const help = commandHelp(`libvirt-ts-backup ${name}`, command, width);
      for (const [option, { value, help: says }] of Object.entries(command.options)) {
        expect(help).toContain(value === undefined ? `  --${option}` : `  --${option} ${value}`);
        expect(says, option).not.toBe('');
        expect(help.replaceAll(/\s+/g, ' ')).toContain(says);
      }
      for (const { shown } of Object.values(command.positionals)) expect(help).toContain(`\n  ${shown}`);
      expect(help).toMatch(/^Usage:\s/);
      expect(help.replaceAll(/\s+/g, ' ')).toContain('Exit status: 0 done; 1 failed; 2 ');
    }
  });

  it.each(names)('%s: at 40 columns only a word that is longer stands out', async (name) => {
    const command = (await commands[name]?.load()) ?? expect.fail();
    for (const line of commandHelp(name, command, 40).split('\n'))
      if (line.length > 40) expect(line.trim()).toMatch(/^\[?(--\S+ )?\S+$/);
  });

  it('is as wide as the terminal, within reason', () => {
    expect([undefined, 40, 10, 500].map(helpWidth)).toEqual([80, 40, 20, 100]);
  });
});
