import type {
  DomainRef,
  NetworkRef,
  NodeDeviceRef,
  SecretRef,
  StoragePoolRef,
} from '../codec/struct-types.ts';
import { connectProcedures } from '../procedures/connect.ts';
import { eventRegistrationProcedures as procedures } from '../procedures/event-registration.ts';
import type { Procedure } from '../procedures/row.ts';

/** What one registration asks for, by class; null: of all objects. */
export type EventFilter =
  | { readonly eventClass: 'domain'; readonly eventID: number; readonly dom: DomainRef | null }
  | { readonly eventClass: 'network'; readonly eventID: number; readonly net: NetworkRef | null }
  | { readonly eventClass: 'storagePool'; readonly eventID: number; readonly pool: StoragePoolRef | null }
  | { readonly eventClass: 'nodeDevice'; readonly eventID: number; readonly dev: NodeDeviceRef | null }
  | { readonly eventClass: 'secret'; readonly eventID: number; readonly secret: SecretRef | null }
  | {
      readonly eventClass: 'qemuMonitor';
      readonly dom: DomainRef | null;
      /** Its name, a pattern or a regular expression, as `flags` say; null: every event. */
      readonly event: string | null;
      readonly flags: number;
    }
  | { readonly eventClass: 'connection' };

type Filtered<Class extends EventFilter['eventClass']> = EventFilter & { readonly eventClass: Class };

/** The callback id of a class that has only one registration, and no ids. */
export const ONLY_ID = 0;

/** The two procedures of every class. */
export const registrars: {
  readonly [Class in EventFilter['eventClass']]: {
    readonly register: Procedure;
    readonly deregister: Procedure;
    /** Names what is asked for: equal ones share a registration, because the daemon refuses a second one. */
    readonly key: (filter: Filtered<Class>) => string;
  };
} = {
  domain: {
    register: connectProcedures.connectDomainEventCallbackRegisterAny,
    deregister: connectProcedures.connectDomainEventCallbackDeregisterAny,
    key: ({ eventID, dom }) => `${eventID} ${dom?.uuid ?? ''}`,
  },
  network: {
    register: procedures.connectNetworkEventRegisterAny,
    deregister: procedures.connectNetworkEventDeregisterAny,
    key: ({ eventID, net }) => `${eventID} ${net?.uuid ?? ''}`,
  },
  storagePool: {
    register: procedures.connectStoragePoolEventRegisterAny,
    deregister: procedures.connectStoragePoolEventDeregisterAny,
    key: ({ eventID, pool }) => `${eventID} ${pool?.uuid ?? ''}`,
  },
  nodeDevice: {
    register: procedures.connectNodeDeviceEventRegisterAny,
    deregister: procedures.connectNodeDeviceEventDeregisterAny,
    key: ({ eventID, dev }) => `${eventID} ${dev?.name ?? ''}`,
  },
  secret: {
    register: procedures.connectSecretEventRegisterAny,
    deregister: procedures.connectSecretEventDeregisterAny,
    key: ({ eventID, secret }) => `${eventID} ${secret?.uuid ?? ''}`,
  },
  qemuMonitor: {
    register: procedures.qemuConnectDomainMonitorEventRegister,
    deregister: procedures.qemuConnectDomainMonitorEventDeregister,
    key: ({ dom, event, flags }) => JSON.stringify([dom?.uuid, event, flags]),
  },
  connection: {
    register: procedures.connectRegisterCloseCallback,
    deregister: procedures.connectUnregisterCloseCallback,
    key: () => '',
  },
};
