import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ownerState, processIdentity } from './process-identity.ts';

describe('process identity', () => {
  it('says who this process is', async () => {
    const self = await processIdentity();
    expect(self.pid).toBe(process.pid);
    expect(self.boot).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    expect(self.startTime).toMatch(/^\d+$/);
    expect(await ownerState(self)).toBe('alive');
  });

  it('knows who is dead: gone, another process of that id, another boot of the same machine', async () => {
    const self = await processIdentity();
    const child = spawn('true');
    await once(child, 'exit');
    expect(await ownerState({ ...self, pid: child.pid ?? 0 })).toBe('dead');
    expect(await ownerState({ ...self, startTime: '1' })).toBe('dead');
    const booted = { ...self, boot: '00000000-0000-4000-8000-000000000000' };
    expect(await ownerState(booted)).toBe(self.machine === '' ? 'elsewhere' : 'dead');
  });

  it('does not claim to know other machines and containers', async () => {
    const self = await processIdentity();
    const booted = { ...self, boot: '00000000-0000-4000-8000-000000000000' };
    for (const owner of [
      { ...booted, host: 'another' },
      { ...booted, machine: 'another' },
      { ...self, pidNamespace: '1', pid: 1 },
      { ...self, boot: '' },
    ])
      expect(await ownerState(owner)).toBe('elsewhere');
  });
});
