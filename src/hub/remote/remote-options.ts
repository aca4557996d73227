/** Of the hub's options, what concerns remote sessions. */
export interface RemoteOptions {
  readonly enabled: boolean;
  /** Whether this hub is a router itself. */
  readonly ownRouter: boolean;
  readonly perUser: number;
  readonly total: number;
  readonly idleSeconds: number;
  readonly maxSeconds: number;
  readonly resumeSeconds: number;
}

export const REMOTE_DEFAULTS: RemoteOptions = {
  enabled: true,
  ownRouter: true,
  perUser: 16,
  total: 512,
  idleSeconds: 30 * 60,
  maxSeconds: 8 * 3600,
  resumeSeconds: 300,
};
