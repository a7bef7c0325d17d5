export { storageCompliance, type ComplianceTest } from './testing/storage-compliance.ts';
export { memoryStorage } from './testing/memory-storage.ts';
export {
  faultAt,
  faultyStorage,
  type Fault,
  type Faults,
  type FaultyStorage,
  type Operation,
  type OperationKind,
} from './testing/faulty-storage.ts';
export {
  StorageError,
  type ObjectInfo,
  type ObjectWriter,
  type Storage,
  type StorageOptions,
  type StorageReason,
} from './ports/storage.ts';
