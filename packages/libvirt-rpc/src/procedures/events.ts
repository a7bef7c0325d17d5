/** Messages that the daemon sends after a registration. */
export const events = {
  lifecycle: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE',
    program: 'REMOTE',
    number: 318,
    eventClass: 'domain',
    eventId: 0,
    payload: { callbackID: 'i32', dom: 'domain', event: 'i32', detail: 'i32' },
  },
  blockJob2: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_BLOCK_JOB_2',
    program: 'REMOTE',
    number: 339,
    eventClass: 'domain',
    eventId: 16,
    payload: { callbackID: 'i32', dom: 'domain', dst: 'str', type: 'i32', status: 'i32' },
  },
  jobCompleted: {
    name: 'REMOTE_PROC_DOMAIN_EVENT_CALLBACK_JOB_COMPLETED',
    program: 'REMOTE',
    number: 363,
    eventClass: 'domain',
    eventId: 21,
    payload: { callbackID: 'i32', dom: 'domain', params: 'param[64]' },
  },
} as const;
