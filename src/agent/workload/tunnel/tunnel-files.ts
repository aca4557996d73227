import { join } from "node:path";

/** What one end keeps on disk, in its workload's own directory (mode 0700). Every file has mode 0600. */
export interface TunnelFiles {
  readonly directory: string;
  /** stunnel's only argument. */
  readonly configPath: string;
  /** Every certificate that is accepted, one after the other; with shared keys that of nobody. */
  readonly peersPath: string;
  /** `identity:hex`, one a line; the first is presented. */
  readonly secretsPath: string;
  /** Key and certificate that no end knows, to attack with. */
  readonly attackerPath: string;
}

export function tunnelFiles(directory: string): TunnelFiles {
  return {
    directory,
    configPath: join(directory, "stunnel.conf"),
    peersPath: join(directory, "peers.pem"),
    secretsPath: join(directory, "secrets.psk"),
    attackerPath: join(directory, "attacker.pem"),
  };
}

/** Key and certificate of a generation in one file, so that no moment can part them. */
export function ownKeyPath(files: TunnelFiles, generation: number): string {
  return join(files.directory, `own-${generation}.pem`);
}

/** The own configuration turned towards a rogue, while that attack lasts. */
export function rogueConfigPath(files: TunnelFiles, rogue: string): string {
  return join(files.directory, `rogue-${rogue}.conf`);
}
