// `node remove.mjs ENGINE LABEL...` removes from an engine what has one of the labels.
// A process of its own, so that a process that is about to end can still do it.
import { removeFromEngine } from '../../scripts/engine.mjs';

const [engine, ...labels] = process.argv.slice(2);
for (const label of labels) await removeFromEngine(engine, label);
