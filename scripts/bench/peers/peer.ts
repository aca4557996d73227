/** Another supervisor, with an own home, doing what Sluice does as far as it can. */
export interface Peer {
  readonly name: string;
  /** Resolves when the daemon is up with `count` copies of the program; whether they run, their stamps tell. */
  start(program: string, count: number): Promise<void>;
  daemonPid(): number;
  /** The number here of a process that wrote another into its stamp; -1 when it is gone. Absent: the same number. */
  hostPid?(pid: number): number;
  /** With SIGKILL. Its programs are left as they are. */
  killDaemon(): Promise<void>;
  /** After `killDaemon`: as its service manager would. */
  startAgain(): Promise<void>;
  /** Ends the daemon and every program that carries its mark. */
  stop(): Promise<void>;
}
