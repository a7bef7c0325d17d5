// A process that does something with a repository and kills itself at one of its storage's operations.
import { carryOut, type Scenario } from './kill-scenarios.fixture.ts';
import { faultyStorage } from './testing/faulty-storage.ts';

const [scenario, folder = '', at, when] = process.argv.slice(2);

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

await carryOut(scenario as Scenario, folder, (storage) =>
  faultyStorage(storage, ({ number }) => {
    if (String(number) !== at) return undefined;
    if (when === 'before') die();
    else setImmediate(die);
    return undefined;
  }),
);
