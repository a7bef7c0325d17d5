/**
 * Messages of the two older ways to register for events of domains, which name no registration. Nothing here asks
 * for them, because every daemon of this decade knows the newer way.
 */
export const legacyEvents = {
  domainEventLifecycle: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_LIFECYCLE',
    program: 'REMOTE',
    number: 107,
    payload: { dom: 'domain', event: 'i32', detail: 'i32' },
  },
  domainEventReboot: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_REBOOT',
    program: 'REMOTE',
    number: 169,
    payload: { dom: 'domain' },
  },
  domainEventRtcChange: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_RTC_CHANGE',
    program: 'REMOTE',
    number: 170,
    payload: { dom: 'domain', offset: 'i64' },
  },
  domainEventWatchdog: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_WATCHDOG',
    program: 'REMOTE',
    number: 171,
    payload: { dom: 'domain', action: 'i32' },
  },
  domainEventIoError: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_IO_ERROR',
    program: 'REMOTE',
    number: 172,
    payload: { dom: 'domain', srcPath: 'str', devAlias: 'str', action: 'i32' },
  },
  domainEventGraphics: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_GRAPHICS',
    program: 'REMOTE',
    number: 173,
    payload: {
      dom: 'domain',
      phase: 'i32',
      local: 'graphicsAddress',
      remote: 'graphicsAddress',
      authScheme: 'str',
      subject: 'graphicsIdentity[20]',
    },
  },
  domainEventIoErrorReason: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_IO_ERROR_REASON',
    program: 'REMOTE',
    number: 195,
    payload: { dom: 'domain', srcPath: 'str', devAlias: 'str', action: 'i32', reason: 'str' },
  },
  domainEventControlError: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_CONTROL_ERROR',
    program: 'REMOTE',
    number: 224,
    payload: { dom: 'domain' },
  },
  domainEventBlockJob: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_BLOCK_JOB',
    program: 'REMOTE',
    number: 241,
    payload: { dom: 'domain', path: 'str', type: 'i32', status: 'i32' },
  },
  domainEventDiskChange: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_DISK_CHANGE',
    program: 'REMOTE',
    number: 248,
    payload: { dom: 'domain', oldSrcPath: 'str?', newSrcPath: 'str?', devAlias: 'str', reason: 'i32' },
  },
  domainEventTrayChange: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_TRAY_CHANGE',
    program: 'REMOTE',
    number: 268,
    payload: { dom: 'domain', devAlias: 'str', reason: 'i32' },
  },
  domainEventPmwakeup: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_PMWAKEUP',
    program: 'REMOTE',
    number: 269,
    payload: { dom: 'domain' },
  },
  domainEventPmsuspend: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_PMSUSPEND',
    program: 'REMOTE',
    number: 270,
    payload: { dom: 'domain' },
  },
  domainEventBalloonChange: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_BALLOON_CHANGE',
    program: 'REMOTE',
    number: 276,
    payload: { dom: 'domain', actual: 'u64' },
  },
  domainEventPmsuspendDisk: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_PMSUSPEND_DISK',
    program: 'REMOTE',
    number: 292,
    payload: { dom: 'domain' },
  },
  domainEventDeviceRemoved: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_DEVICE_REMOVED',
    program: 'REMOTE',
    number: 311,
    payload: { dom: 'domain', devAlias: 'str' },
  },
} as const;
