import { messageOf } from "../../../src/base/errors.ts";
import type { MeasureContext } from "../measurement.ts";
import { type SshSite, startSshSite } from "../peers/ssh.ts";
import type { ByteDriver } from "./byte-ends.ts";
import type { Place } from "./byte-program.ts";
import type { SitePair } from "./site-link.ts";
import { type SluiceSite, startSluiceSite } from "./sluice-site.ts";
import { readTreeCpuMs } from "./tree-cpu.ts";

/** A way from a port near the operator to a target at the box. */
export interface ForwardWay {
  readonly name: string;
  readonly at: Place;
  /** Of all processes that it needs on its way, without the target and whoever speaks with it. */
  cpuMs(): number;
}

export interface ForwardWays extends AsyncDisposable {
  readonly plain: ForwardWay;
  readonly tls: ForwardWay;
  /** Through the same router as `plain`, sealed from end to end. */
  readonly sealed: ForwardWay;
  /** `undefined`: there is no sshd, which is said. */
  readonly ssh: ForwardWay | undefined;
  readonly sshJump: ForwardWay | undefined;
}

/** All of them open, beside each other. */
export async function openForwardWays(
  target: Place,
  sites: Pick<SitePair, "near" | "box">,
  { lab, note, say }: MeasureContext,
): Promise<ForwardWays> {
  await using stack = new AsyncDisposableStack();
  const siteOf = async (name: string, isTls: boolean): Promise<SluiceSite> => {
    say(`starting hub, router and agent (${name})`);
    return stack.use(await startSluiceSite({ name, isTls, sites }, lab));
  };
  const ours = async (site: SluiceSite, name: string, flags: readonly string[] = []): Promise<ForwardWay> => {
    const forward = await site.forward(target, flags);
    stack.defer(forward.stop);
    return {
      name: `ours, ${name}`,
      at: forward.at,
      cpuMs: () => readTreeCpuMs([site.routerPid, site.holderPid(), forward.pid]),
    };
  };
  const [open, encrypted] = [await siteOf("plain", false), await siteOf("tls", true)];
  const plain = await ours(open, "plain");
  const sealed = await ours(open, "sealed end to end", ["--seal"]);
  const tls = await ours(encrypted, "TLS to the router on both legs");
  const ssh: SshSite | undefined = await startSshSite("ssh", sites, lab).catch((thrown: unknown) => {
    note(`ssh could not be measured: ${messageOf(thrown)}`);
    return undefined;
  });
  if (ssh !== undefined) stack.use(ssh);
  const theirs = async (name: string, isJump: boolean): Promise<ForwardWay | undefined> => {
    if (ssh === undefined) return undefined;
    const forward = await ssh.forward(target, { isJump });
    stack.defer(forward.stop);
    return { name, at: forward.at, cpuMs: () => readTreeCpuMs([forward.pid, ...ssh.serverPids]) };
  };
  const [direct, jump] = [await theirs("ssh -L", false), await theirs("ssh -J -L", true)];
  const life = stack.move();
  return { plain, sealed, tls, ssh: direct, sshJump: jump, [Symbol.asyncDispose]: () => life.disposeAsync() };
}

export interface Passage {
  readonly megabytesPerSecond: number;
  readonly cpuSecondsPerGiB: number;
}

export async function pass(
  way: ForwardWay,
  { what, bytes }: { readonly what: "receive" | "send"; readonly bytes: number },
  driver: ByteDriver,
): Promise<Passage> {
  const beforeMs = way.cpuMs();
  const [tookMs = Number.NaN] = await driver.drive({ what, at: way.at, bytes });
  return {
    megabytesPerSecond: bytes / tookMs / 1000,
    cpuSecondsPerGiB: (way.cpuMs() - beforeMs) / 1000 / (bytes / 2 ** 30),
  };
}
